"""Where it listens."""

import os
import pwd
import signal
import socket
import stat
import subprocess
from pathlib import Path
from unittest import SkipTest

from ...errors import Exit
from ..client import connect, request
from ..kit import Check, Kit, program
from ..serving import Serving, Typed, clean_environment, free_address, same, wait_for


def tcp_address_answers(kit: Kit) -> None:
    with kit.serve() as serving:
        assert serving.address.startswith("127.0.0.1:"), f"it says {serving.addresses}"
        seen = serving.report("/environ")
        same(seen["REMOTE_ADDR"], "127.0.0.1", "REMOTE_ADDR")
        address = serving.address
        serving.stop_cleanly()
    assert not listens(address), f"{address} is still open"


def daemon_of_the_application_keeps_no_socket(kit: Kit) -> None:
    with kit.serve() as serving, serving.client() as client:
        client.get("/daemon", "Connection: close")
        daemon = client.answer().json()["daemon"]
        try:
            client.rest()
            serving.stop_cleanly()
            host, port = serving.address.split(":")
            socket.create_server((host, int(port))).close()
        finally:
            os.kill(daemon, signal.SIGKILL)


def every_interface_answers(kit: Kit) -> None:
    with kit.serve(asks={"bind": [":0"]}) as serving:
        port = serving.address.rpartition(":")[2]
        serving.report(address=f"127.0.0.1:{port}")
        serving.report(address=f"127.0.0.2:{port}")
        if has_ipv6():
            serving.report(address=f"[::1]:{port}")


def ipv6_address_answers(kit: Kit) -> None:
    if not has_ipv6():
        raise SkipTest("this machine has no IPv6")
    with kit.serve(asks={"bind": ["[::1]:0"]}) as serving:
        same(serving.report("/environ")["REMOTE_ADDR"], "::1", "REMOTE_ADDR")


def unix_socket_answers_and_goes(kit: Kit) -> None:
    path = kit.public / "kit.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    with kit.serve(asks={"bind": [f"unix:{path}"]}) as serving:
        same(serving.addresses, (f"unix:{path}",), "addresses of the start line")
        serving.report()
        status, said = kit.refused_start({"bind": [f"unix:{path}"]})
        assert status == Exit.ADDRESS, f"a live socket was taken: status {status}\n{said}"
        serving.report()
        serving.stop_cleanly()
        assert not os.path.lexists(path), "the socket is left behind"


def abstract_socket_answers(kit: Kit) -> None:
    name = f"unix:@serve-kit-{os.getpid()}-{kit.public.name}"
    with kit.serve(asks={"bind": [name]}) as serving:
        serving.report(address=name)


def inherited_descriptors_answer(kit: Kit) -> None:
    path = kit.public / "kit.sock"
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        unix.bind(str(path))
        for sock in (tcp, unix):
            sock.listen(16)
        numbers = (tcp.fileno(), unix.fileno())
        with kit.serve(asks={"bind": [f"fd://{number}" for number in numbers]}, pass_fds=numbers) as serving:
            serving.report(address=f"127.0.0.1:{tcp.getsockname()[1]}")
            serving.report(address=f"unix:{path}")
            serving.stop_cleanly()
            # Whoever opened it wants to open the next server on it.
            assert path.exists(), "the socket file of another process was removed"
            path.unlink()


def several_addresses_answer(kit: Kit) -> None:
    path = kit.public / "kit.sock"
    bind = ["127.0.0.1:0", f"unix:{path}", "127.0.0.1:0", *(["[::1]:0"] if has_ipv6() else [])]
    with kit.serve(asks={"bind": bind}) as serving:
        same(len(serving.addresses), len(bind), "addresses of the start line")
        for address in serving.addresses:
            serving.report(address=address)


def printed_command_works_by_hand(kit: Kit) -> None:
    """The words of `bind` and `socket_mode` are typed by hand only: serve opens sockets itself."""
    address, path = free_address(), kit.public / "kit.sock"
    profile = kit.profile(asks={"bind": [address, f"unix:{path}"]}, also={"socket_mode": "0620"})
    plan, directory = kit.compile(profile)
    command = Typed(plan.command.argv, plan.command.environment(clean_environment()), (address, f"unix:{path}"))
    with Serving(directory, profile, command=command) as serving:
        serving.report()
        wait_for(path.exists, f"{path} to exist")
        serving.report(address=f"unix:{path}")
        if "socket_mode" in profile:
            assert_mode(path, 0o620)


def uwsgi_is_spoken_to_a_front_server(kit: Kit) -> None:
    nginx = program("nginx")
    front = f"unix:{kit.public}/front.sock"
    with kit.serve(ready=False) as serving:
        address = wait_for(serving.announced, "the start line")[0]
        serving.addresses = (front,)
        conf = kit.public / "nginx.conf"
        conf.write_text(nginx_configuration(kit.public, f"unix:{kit.public}/front.sock", address))
        log = (kit.public / "nginx.log").open("w+")
        child = subprocess.Popen([nginx, "-e", "stderr", "-p", str(kit.public), "-c", str(conf)], stderr=log)
        try:
            wait_for(lambda: child.poll() is not None or listens(front), "nginx")
            log.seek(0)
            assert child.poll() is None, f"nginx ended: {log.read()}"
            seen = serving.report("/environ?a=b", "X-Kit: seen")
            same((seen["QUERY_STRING"], seen["HTTP_X_KIT"]), ("a=b", "seen"), "query and header")
            body = b"x" * 100_000
            assert serving.request("/echo", method="POST", body=body).body == body, "the body was changed"
            with serving.client() as client:
                client.get("/echo", "Transfer-Encoding: chunked", method="POST")
                client.send("5\r\nabcde\r\n0\r\n\r\n")
                same(client.answer("POST").body, b"abcde", "a body that came in chunks")
        finally:
            child.kill()
            child.wait()
            log.close()
        (kit.public / "front.sock").unlink()


def nginx_configuration(directory: Path, front: str, back: str) -> str:
    names = ("REQUEST_METHOD", "CONTENT_TYPE", "CONTENT_LENGTH", "REQUEST_URI", "SERVER_PROTOCOL", "REMOTE_ADDR")
    parameters = "".join(f"uwsgi_param {name} ${name.lower()}; " for name in names)
    parameters += "uwsgi_param PATH_INFO $document_uri; uwsgi_param QUERY_STRING $query_string; "
    parameters += "uwsgi_param SERVER_NAME $server_name; uwsgi_param SERVER_PORT $server_port;"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    return (
        "daemon off; master_process off; error_log stderr; "
        f"pid {directory}/nginx.pid; events {{}}\n"
        f"http {{ access_log off; {temporary}\n"
        f"server {{ listen {front}; location / {{ {parameters} uwsgi_pass {back}; }} }} }}\n"
    )


def socket_has_the_mode(kit: Kit) -> None:
    with kit.serve():
        assert_mode(kit.public / "kit.sock", 0o640)


def socket_has_the_owner(kit: Kit) -> None:
    with kit.serve() as serving:
        found = (kit.public / "kit.sock").stat()
        wanted = pwd.getpwnam("nobody")
        assert (found.st_uid, found.st_gid) == (wanted.pw_uid, 1), f"owned by {found.st_uid}:{found.st_gid}"
        serving.report()


def kernel_holds_the_backlog(kit: Kit) -> None:
    ss = program("ss")
    path = kit.public / "kit.sock"
    with kit.serve(asks={**kit.asks, "bind": ["127.0.0.1:0", f"unix:{path}"]}) as serving:
        port = serving.address.rpartition(":")[2]
        for words in (["-Hltn", f"sport = :{port}"], ["-Hlx", "src", str(path)]):
            said = subprocess.run([ss, *words], capture_output=True, text=True, check=True).stdout.split()
            queue = said[2 if "t" in words[0] else 3]
            assert queue == "37", f"the kernel's limit is {queue}: {said}"


def two_instances_share_a_port(kit: Kit) -> None:
    address = free_address()
    with kit.serve(asks={**kit.asks, "bind": [address]}) as first:
        status, said = kit.refused_start({"bind": [address]})
        assert status == Exit.ADDRESS, f"status {status}\n{said}"
        assert address in said, f"{address} is not named:\n{said}"
        with kit.serve(asks={**kit.asks, "bind": [address]}) as second:

            def both_answered() -> bool:
                pids.add(request(address, "/").json()["pid"])
                return bool(pids.intersection(first.tree())) and bool(pids.intersection(second.tree()))

            pids: set[int] = set()
            wait_for(both_answered, "an answer of both")


def assert_mode(path: Path, mode: int) -> None:
    found = stat.S_IMODE(path.stat().st_mode)
    assert found == mode, f"the socket has mode {found:04o}"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def listens(address: str) -> bool:
    try:
        connect(address).close()
    except OSError:
        return False
    return True


SOCKET = {"bind": ["unix:PUBLIC/kit.sock"]}

CHECKS = (
    Check("bind-host-port", {"bind": ["127.0.0.1:0"]}, tcp_address_answers),
    Check("bind-daemon", {"bind": ["127.0.0.1:0"]}, daemon_of_the_application_keeps_no_socket),
    Check("bind-port", {"bind": [":0"]}, every_interface_answers),
    Check("bind-ipv6", {"bind": ["[::1]:0"]}, ipv6_address_answers),
    Check("bind-unix", SOCKET, unix_socket_answers_and_goes),
    Check("bind-abstract", {"bind": ["unix:@serve-kit"]}, abstract_socket_answers),
    Check("bind-fd", {"bind": ["fd://3"]}, inherited_descriptors_answer),
    Check("bind-several", {"bind": ["127.0.0.1:0", "unix:PUBLIC/kit.sock"]}, several_addresses_answer),
    Check("bind-by-hand", {"bind": ["127.0.0.1:0", "unix:PUBLIC/kit.sock"]}, printed_command_works_by_hand),
    Check("protocol", {"protocol": "uwsgi"}, uwsgi_is_spoken_to_a_front_server),
    Check("socket-mode", {"socket_mode": "0640"}, socket_has_the_mode, given=SOCKET),
    Check("socket-owner", {"socket_owner": "nobody:1"}, socket_has_the_owner, given=SOCKET, as_root=True),
    Check("backlog", {"backlog": 37}, kernel_holds_the_backlog),
    Check("reuse-port", {"reuse_port": True}, two_instances_share_a_port),
)
