"use strict";
// Puts the figures into the page: each is drawn when it comes near the window, and again when colours or sizes change.

hptune.page = (() => {
  const { axes } = hptune.data;
  const charts = new Map();
  const element = (id) => document.getElementById(id);
  const isNarrow = () => window.innerWidth < 700;
  const number = (id) => Number(element(id).value);

  // Fills a select; the important dimensions come first, because that is what one wants to see.
  function fill(id, names, start) {
    const select = element(id);
    names.forEach(([column, label]) => {
      const option = document.createElement("option");
      option.value = String(column);
      option.textContent = label;
      select.append(option);
    });
    select.selectedIndex = Math.min(start, names.length - 1);
  }
  const byImportance = axes.map((axis, column) => [column, axis.label]);
  const place = (label) => { const found = hptune.data.importance.findIndex((item) => item.name === label); return found < 0 ? Infinity : found; };
  byImportance.sort((a, b) => (place(a[1]) < place(b[1]) ? -1 : place(a[1]) > place(b[1]) ? 1 : a[0] - b[0]));
  fill("slice-x", byImportance, 0);
  fill("pair-x", byImportance, 0);
  fill("pair-y", byImportance, 1);
  const regularizers = /^(dropout|input_dropout|batch_norm|input_batch_norm|residual|l1|l2|weight_decay|label_smoothing)(\.|$)/;
  const isRegularizer = ([, label]) => regularizers.test(label);
  const gapColumns = [...byImportance.filter(isRegularizer).sort((a, b) => a[0] - b[0]), ...byImportance.filter((item) => !isRegularizer(item))];
  fill("gap-x", gapColumns, Math.max(gapColumns.findIndex(([, label]) => label.startsWith("dropout")), 0));

  const shownCurves = () => {
    const choice = element("curve-choice").value;
    const withCurve = hptune.data.trials.number.map((_, index) => index).filter((index) => hptune.data.curves[hptune.data.trials.number[index]]);
    return choice === "chosen" ? hptune.board.chosen() : withCurve.slice(0, Number(choice));
  };
  const wishes = {
    curves: () => ({ shown: shownCurves() }),
    history: () => ({ axis: element("history-axis").value }),
    parallel: () => ({ narrow: isNarrow() }),
    timeline: () => ({ narrow: isNarrow() }),
    slice: () => ({ column: number("slice-x") }),
    pair: () => ({ across: number("pair-x"), up: number("pair-y") }),
    gap: () => ({ column: number("gap-x") }),
  };

  // Height follows what there is to show, within reason.
  function fit(name, place) {
    const few = { importance: hptune.importantItems().length * 30 + 90, timeline: new Set(hptune.data.timeline.map((bar) => bar[0])).size * 34 + 110 }[name];
    if (few) place.style.height = `${Math.max(Math.min(few, 900), 160)}px`;
    if (name === "timeline" && charts.has(name)) {
      const lanes = charts.get(name).getOption()?.yAxis?.[0]?.data?.length ?? 0;
      if (lanes) place.style.height = `${Math.max(Math.min(lanes * 26 + 90, 1200), 160)}px`;
    }
    if (name === "parallel" && isNarrow()) place.style.height = `${Math.max((hptune.parallelColumns().length + 1) * 48, 320)}px`;
  }

  function draw(name) {
    const place = document.querySelector(`[data-figure="${name}"]`);
    if (!place || !hptune.figures[name]) return;
    if (!charts.has(name)) {
      fit(name, place);
      charts.set(name, echarts.init(place, null, { renderer: "canvas" }));
      place.setAttribute("role", "img");
      if (name === "parallel") charts.get(name).on("axisareaselected", () => brush(charts.get(name)));
    }
    // Attempts have times before anything has a score.
    const hasSomething = name === "timeline" || hptune.scored().length > 0;
    const option = hasSomething ? hptune.figures[name]((wishes[name] ?? (() => ({})))()) : hptune.sayInstead("No trial has a score yet");
    charts.get(name).setOption(option, true);
    fit(name, place);
    charts.get(name).resize();
  }

  function brush(chart) {
    const series = chart.getModel().getSeriesByIndex(0);
    const active = series.getRawIndicesByActiveState("active");
    const scored = hptune.worstFirst();
    const isEmpty = series.getRawIndicesByActiveState("normal").length > 0;
    hptune.board.brush(isEmpty ? null : new Set(active.map((index) => scored[index])));
  }

  const places = [...document.querySelectorAll("[data-figure]")];
  const watcher = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    watcher.unobserve(entry.target);
    draw(entry.target.dataset.figure);
  }), { rootMargin: "300px" });
  places.forEach((place) => watcher.observe(place));

  const redraw = (...names) => () => names.filter((name) => charts.has(name)).forEach(draw);
  const onChange = (id, ...names) => element(id).addEventListener("change", redraw(...names));
  onChange("curve-choice", "curves");
  onChange("history-axis", "history");
  onChange("slice-x", "slice");
  onChange("pair-x", "pair");
  onChange("pair-y", "pair");
  onChange("gap-x", "gap");
  element("clear-brush").addEventListener("click", () => { hptune.board.brush(null); charts.get("parallel")?.clear(); draw("parallel"); });
  hptune.board.watch(() => { element("curve-choice").value = "chosen"; redraw("curves")(); });
  hptune.theme.watch(() => [...charts.keys()].forEach(draw));
  let waiting = 0, width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => [...charts.keys()].forEach(draw), 150);
  });
  window.addEventListener("beforeprint", () => places.forEach((place) => draw(place.dataset.figure)));

  document.querySelectorAll("main section").forEach((section) => {
    const item = document.createElement("li"), link = document.createElement("a");
    link.href = `#${section.id}`;
    link.textContent = section.querySelector("h2").textContent;
    item.append(link);
    element("contents").append(item);
  });
  document.documentElement.dataset.ready = "true";

  return { charts, draw, drawAll: () => places.forEach((place) => draw(place.dataset.figure)) };
})();
