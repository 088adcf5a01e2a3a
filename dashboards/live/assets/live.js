/* What the browser does by itself: themes, clicks, keys, and keeping what the reader has chosen over a refresh. */
(function () {
  "use strict";

  const menus = {}; // figure -> index of its menu -> words of the chosen button
  let shown = null; // the figure drawn last
  let line = null; // of the parallel coordinates, last under the pointer: its index, and where that was
  let row = null; // the trial whose row had the focus last
  let folded = false; // whether it was decided if the filters are
  let key = null; // the trial whose panel is open
  let silent = 0; // seconds since the server answered

  const set = (id, props) => window.dash_clientside.set_props(id, props);
  const plot = () => document.querySelector("#graph .js-plotly-plot");

  /* Numbers as plotly gets them: a list, or bytes with their type. */
  const ARRAYS = { i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array,
    f4: Float32Array, f8: Float64Array };
  function numbers(values) {
    if (!values || !values.bdata) return values || [];
    const bytes = Uint8Array.from(atob(values.bdata), (letter) => letter.charCodeAt(0));
    return new ARRAYS[values.dtype](bytes.buffer);
  }

  /* {"a.b": 1} into {a: {b: 1}}, as plotly's restyle reads it; `pick` says which value a trace gets. */
  function put(target, changes, pick) {
    for (const [path, value] of Object.entries(changes || {})) {
      const parts = path.replace(/\[(\d+)\]/g, ".$1").split(".");
      if (parts.some((part) => ["__proto__", "constructor", "prototype"].includes(part))) continue;
      let at = target;
      for (const part of parts.slice(0, -1)) at = at[part] = at[part] || {};
      at[parts[parts.length - 1]] = pick(value);
    }
  }

  /* The figure as it was left: its menus where the reader had put them. */
  function chosen(figure, name) {
    (figure.layout.updatemenus || []).forEach((menu, index) => {
      const at = menu.buttons.findIndex((button) => button.label === (menus[name] || {})[index]);
      if (at < 0) return;
      menu.active = at;
      const { method, args = [] } = menu.buttons[at];
      const which = (method === "update" ? args[2] : args[1]) || figure.data.map((_, place) => place);
      if (method !== "relayout")
        which.forEach((place, turn) =>
          put(figure.data[place], args[0], (value) => (Array.isArray(value) ? value[turn % value.length] : value)));
      if (method !== "restyle") put(figure.layout, method === "update" ? args[1] : args[0], (value) => value);
    });
  }

  /* plotly keeps a zoom over a redraw only where the figure itself asks for the range it asked for before; ours grow
     with the study. So it is told that they were asked for all along. */
  function zoomed(figure) {
    const held = plot() && plot()._fullLayout;
    if (!held || !held._preGUI || held.uirevision !== figure.layout.uirevision) return;
    for (const path of Object.keys(held._preGUI)) {
      const [, axis, end] = path.match(/^([xy]axis\d*)\.range\[([01])\]$/) || [];
      const range = axis && figure.layout[axis] && figure.layout[axis].range;
      if (range) held._preGUI[path] = range[end];
    }
  }

  /* A ring around the trial whose panel is open. */
  function ringed(figure, trial) {
    const [role, number] = (trial || "").split("-");
    const rings = [];
    for (const trace of figure.data) {
      if (!number || !trace.meta || trace.meta.role !== role || !String(trace.type || "scatter").startsWith("scatter"))
        continue;
      if (!(trace.mode || "").includes("markers") || trace.visible === false) continue;
      const at = Array.from(numbers(trace.customdata)).findIndex((one) => String(one) === number);
      if (at >= 0)
        rings.push({ type: "scatter", mode: "markers", x: [numbers(trace.x)[at]], y: [numbers(trace.y)[at]],
          xaxis: trace.xaxis, yaxis: trace.yaxis, hoverinfo: "skip", showlegend: false, uid: "ring" + rings.length,
          marker: { symbol: "circle-open", size: 18, color: figure.layout.template.layout.font.color, line: { width: 3 } } });
    }
    figure.data.push(...rings);
  }

  const rowOf = (trial) => trial && document.querySelector(`main tr[data-value="${CSS.escape(trial)}"]`);
  const open = (trial) => set("chosen", { data: trial });

  function close() {
    set("chosen", { data: null });
    (rowOf(row) || document.getElementById("main")).focus({ preventScroll: true });
  }

  /* The panel gets the focus when it is there. */
  function attend(trial, left) {
    const panel = document.getElementById("panel");
    if (trial === key && panel.hidden && left) setTimeout(() => attend(trial, left - 1), 50);
    else if (trial === key) panel.focus({ preventScroll: true });
  }

  /* The open trial's row, in a rule of its own: tables are made anew with every change. */
  const rule = document.head.appendChild(document.createElement("style"));
  function marked(trial) {
    rule.textContent = trial
      ? `tr[data-value="${CSS.escape(trial)}"] { background: var(--hover); box-shadow: inset 3px 0 var(--strong); }`
      : "";
  }

  /* The row that has the focus may get another place; it keeps the focus. */
  document.addEventListener("focusin", (event) => {
    const at = event.target.closest("main tr[data-set]");
    row = at ? at.dataset.value : event.target.closest("#panel") ? row : null;
  });
  function refocus() {
    if (row && document.activeElement === document.body && rowOf(row)) rowOf(row).focus({ preventScroll: true });
  }

  /* plotly tells of clicks on marks; of parallel coordinates, only which line the pointer is on. */
  function listen() {
    const drawing = plot();
    if (!drawing || !drawing.on || drawing.dataset.heard) return;
    drawing.dataset.heard = "yes";
    drawing.on("plotly_click", (told) => {
      const point = told.points && told.points[0];
      if (point && point.data.meta && point.data.meta.role && Number.isInteger(point.customdata))
        open(`${point.data.meta.role}-${point.customdata}`);
    });
    // Dash's own: of parallel coordinates it reads points, which there are none of, and throws; a zoom it writes into
    // the figure, so that plotly takes it for ours and lets the next figure end it.
    for (const event of ["plotly_hover", "plotly_unhover", "plotly_relayout"]) drawing.removeAllListeners(event);
    drawing.on("plotly_hover", (told) => (line = told.points ? null : told));
    drawing.on("plotly_buttonclicked", (told) => {
      menus[shown] = { ...menus[shown], [told.menu._index]: told.button.label };
    });
    drawing.addEventListener("click", (event) => {
      const [trace] = drawing.data;
      if (!line || !trace || trace.type !== "parcoords") return;
      const near = Math.hypot(event.clientX - line.clientX, event.clientY - line.clientY) < 8; // a line is a pixel wide
      if (near) open(`search-${numbers(trace.customdata)[line.curveNumber]}`);
    });
  }

  function follow(target) {
    const { set: id, prop, value } = target.dataset;
    if (id === "chosen") return value ? open(value) : close();
    set(id, { [prop || "data"]: value });
  }

  document.addEventListener("click", (event) => {
    const skip = event.target.closest("[data-skip]");
    if (skip) {
      event.preventDefault();
      return document.getElementById(skip.dataset.skip).focus();
    }
    const target = event.target.closest("[data-set]");
    if (target) follow(target);
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && key && !document.querySelector("[data-state=open], .dash-dropdown-content")) return close();
    const line = event.target.matches && event.target.matches("tr[data-set]");
    if (line && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      follow(event.target);
    }
  });

  /* Trees of live/dom.py into an element. What is there already stays, and with it its scrolling, focus and folds. */
  const ATTRIBUTES = /^(class|style|role|scope|tabindex|title|alt|src|disabled|(data|aria)-[a-z-]+)$/;
  const TAGS = /^(section|div|span|p|h2|h3|dl|dt|dd|ul|li|table|thead|tbody|tr|th|td|button|details|summary|figure|img|figcaption)$/;
  function fit(parent, trees) {
    trees.forEach((tree, at) => {
      const old = parent.childNodes[at];
      const text = typeof tree === "string";
      const same = old && (text ? old.nodeType === 3
        : old.localName === tree[0] && (old.dataset.value || "") === (tree[1]["data-value"] || ""));
      if (!text && !TAGS.test(tree[0])) return;
      const node = same ? old : text ? document.createTextNode(tree) : document.createElement(tree[0]);
      if (text) {
        if (node.data !== tree) node.data = tree;
      } else {
        for (const name of node.getAttributeNames())
          if (!(name in tree[1]) && !(name === "open" && tree[0] === "details")) node.removeAttribute(name);
        for (const [name, value] of Object.entries(tree[1]))
          if (ATTRIBUTES.test(name) && node.getAttribute(name) !== value) node.setAttribute(name, value);
        fit(node, tree[2]);
      }
      if (!same) old ? parent.replaceChild(node, old) : parent.appendChild(node);
    });
    while (parent.childNodes.length > trees.length) parent.lastChild.remove();
  }

  /* A telephone's panel covers the page, so another view behind it would not be seen. */
  window.addEventListener("hashchange", () => {
    if (key && window.matchMedia("(max-width: 800px)").matches) close();
  });

  function told(sentence) {
    const line = document.getElementById("silent");
    if (line && line.textContent !== sentence) line.textContent = sentence;
  }
  setInterval(() => {
    silent += 1; // counted, not subtracted: a machine that slept has not waited
    if (silent > 10) told("The server does not answer; this is what it last said.");
  }, 1000);

  const night = window.matchMedia("(prefers-color-scheme: dark)");
  function dark() {
    document.documentElement.classList.toggle("night", night.matches);
    return night.matches;
  }
  night.addEventListener("change", () => window.matchMedia("print").matches || set("dark", { data: dark() }));

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.live = {
    dark,

    show: (drawn, trial) => {
      if (trial !== key) {
        key = trial;
        marked(trial);
        if (trial) attend(trial, 200);
      }
      if (!drawn) return Array(3).fill(window.dash_clientside.no_update);
      const figure = JSON.parse(drawn.figure);
      shown = drawn.key;
      chosen(figure, shown);
      zoomed(figure);
      ringed(figure, trial);
      (function wait(left) {
        listen();
        if (left && !(plot() && plot().dataset.heard)) setTimeout(() => wait(left - 1), 50);
      })(200);
      return [figure, { height: `${figure.layout.height}px` }, { minWidth: `${drawn.width || 0}px` }];
    },

    fill: (trees, id) => {
      fit(document.getElementById(id), trees || []);
      refocus();
      return window.dash_clientside.no_update;
    },

    /* Marks the link of the view that is open. */
    current: (anchor) => {
      const links = Array.from(document.querySelectorAll("nav a"));
      const at = links.find((link) => link.getAttribute("href") === anchor) || links[0];
      links.forEach((link) => link.removeAttribute("aria-current"));
      if (at) {
        at.setAttribute("aria-current", "page");
        at.scrollIntoView({ block: "nearest", inline: "center" });
      }
      if (!folded && window.matchMedia("(max-width: 800px)").matches)
        document.querySelector(".filters").removeAttribute("open"); // on a phone, the content first
      folded = true;
      return "";
    },

    forget: () => [null, null],

    /* Another server may have taken this one's place, with other studies. */
    answered: (beat) => {
      silent = 0;
      told("");
      if (beat === "gone") window.location.reload();
    },

    /* What is being computed is asked for again, one question after the other. */
    later: (pending) => {
      if (pending) setTimeout(() => set("again", { data: pending }), 800);
    },
  };
})();
