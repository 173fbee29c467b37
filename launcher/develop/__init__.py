"""The development loop: watches files, and keeps a server running with the code that is on disk."""
