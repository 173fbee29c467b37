// Loads this page anew once what it was made by has changed.
(() => {
  "use strict";
  const script = document.currentScript;
  const parts = ["link", "css", "script", "img"];
  let source = null;

  function listen() {
    if (source || document.hidden) return;
    source = new EventSource(new URL("events", script.src));
    source.onmessage = (event) => {
      if (event.data === script.dataset.state) return;
      silence();
      reload();
    };
    source.onerror = () => {
      // A stream that ends is asked for again by the browser itself; an answer that is no stream is not.
      if (source.readyState !== EventSource.CLOSED) return;
      silence();
      setTimeout(listen, 1000);
    };
  }

  function silence() {
    if (source) source.close();
    source = null;
  }

  async function reload() {
    // A browser that loads a page anew takes its parts from the cache, without asking whether they have changed.
    const urls = performance
      .getEntriesByType("resource")
      .filter((entry) => parts.includes(entry.initiatorType) && entry.name.startsWith(`${location.origin}/`))
      .map((entry) => entry.name);
    await Promise.allSettled(urls.map((url) => fetch(url, { cache: "no-cache" })));
    location.reload();
  }

  // A piece of HTML that some other script has fetched may bring this one along a second time.
  if (window.serveListens) return;
  window.serveListens = true;
  // The server has few threads: a page that nobody looks at holds none of them.
  document.addEventListener("visibilitychange", () => (document.hidden ? silence() : listen()));
  addEventListener("pagehide", silence);
  addEventListener("pageshow", listen);
  listen();
})();
