"use strict";
// What each figure shows: from the page's data to options of ECharts. Nothing here touches the page.
// Text reaches ECharts as data and is drawn on canvas; no tooltip is HTML, so that no name can act.

hptune.data = JSON.parse(document.getElementById("page-data").textContent);

hptune.short = (value) => {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(5)));
};

hptune.isBetter = (a, b) => (hptune.data.direction === "max" ? a > b : a < b);

hptune.scored = () => hptune.data.trials.number.map((_, index) => index).filter((index) => hptune.data.trials.score[index] !== null);

// The range of scores worth telling apart: from the best to the middle of the field and a little beyond, so that one
// trial that went astray does not squeeze all others into one colour.
hptune.scoreRange = () => {
  const scores = hptune.scored().map((index) => hptune.data.trials.score[index]);
  if (!scores.length) return [0, 1];
  const best = scores[0], low = scores[Math.floor(0.8 * (scores.length - 1))];
  return best === low ? [best - 1e-9, best + 1e-9] : [Math.min(best, low), Math.max(best, low)];
};

hptune.frame = (extra) => {
  const ink = hptune.theme.colour("ink"), quiet = hptune.theme.colour("quiet"), line = hptune.theme.colour("line");
  return {
    animation: false,
    aria: { enabled: true },
    color: hptune.theme.palette(),
    backgroundColor: "transparent",
    textStyle: { color: ink, fontFamily: "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" },
    grid: { left: 12, right: 32, top: 54, bottom: 30, containLabel: true },
    tooltip: {
      renderMode: "richText", confine: true, backgroundColor: hptune.theme.colour("card"), borderColor: line,
      textStyle: { color: ink, fontSize: 13 },
    },
    legend: { type: "scroll", top: 0, textStyle: { color: ink }, pageTextStyle: { color: ink }, pageIconColor: ink, pageIconInactiveColor: quiet },
    ...extra,
  };
};

hptune.axis = (name, extra) => ({
  name, nameLocation: "middle", nameGap: 30, scale: true, nameTextStyle: { color: hptune.theme.colour("quiet") },
  axisLine: { onZero: false, lineStyle: { color: hptune.theme.colour("line") } },
  axisLabel: { color: hptune.theme.colour("quiet"), hideOverlap: true, formatter: (value) => hptune.short(value) },
  splitLine: { lineStyle: { color: hptune.theme.colour("grid") } },
  ...extra,
});

// Numbers up the side need room for themselves only; their name stands above them.
hptune.upAxis = (name, extra) => hptune.axis(name, { nameLocation: "end", nameGap: 12, nameTextStyle: { color: hptune.theme.colour("quiet"), align: "left" }, ...extra });

hptune.describeTrial = (index) => {
  const { trials, axes, metric } = hptune.data;
  const lines = [`trial ${trials.number[index]}, ${trials.status[index]}`, `${metric} ${hptune.short(trials.score[index])}`];
  axes.forEach((axis, column) => {
    const value = trials.values[column][index];
    if (value !== null) lines.push(`${axis.label} ${axis.kind === "choice" ? axis.values[value] : hptune.short(value)}`);
  });
  return (lines.length > 16 ? [...lines.slice(0, 16), "…"] : lines).join("\n");
};

// What stands where there is nothing to draw.
hptune.sayInstead = (text) => hptune.frame({ legend: { show: false }, title: { text, left: "center", top: "middle", textStyle: { color: hptune.theme.colour("quiet"), fontSize: 14, fontWeight: "normal" } } });

hptune.figures = {};

hptune.figures.curves = ({ shown }) => {
  const { curves, trials, metric } = hptune.data;
  const series = [];
  shown.filter((index) => curves[trials.number[index]]).forEach((index, order) => {
    const number = trials.number[index], curve = curves[number], colour = hptune.theme.palette()[order % hptune.theme.palette().length];
    const points = (values) => values.map((value, step) => [curve.first + step, value]);
    const best = trials.best_epoch[index];
    const mark = best === null ? [] : [[best, curve.validation[best - curve.first]]].filter((point) => point[1] !== null && point[1] !== undefined);
    const name = `trial ${number}`;
    series.push({ name, type: "line", showSymbol: false, data: points(curve.validation), lineStyle: { color: colour, width: 2 }, itemStyle: { color: colour } });
    series.push({ name, type: "line", showSymbol: false, data: points(curve.train), lineStyle: { color: colour, width: 1, type: "dashed" }, itemStyle: { color: colour } });
    series.push({ name, type: "scatter", symbolSize: 9, data: mark, itemStyle: { color: colour } });
  });
  return hptune.frame({
    xAxis: hptune.axis("epoch", { type: "value", minInterval: 1 }), yAxis: hptune.upAxis(metric, { type: "value" }), series,
    tooltip: { ...hptune.frame({}).tooltip, trigger: "item", formatter: ({ seriesName, data, seriesIndex }) => `${seriesName}, epoch ${data[0]}\n${["validation", "training", "best epoch,"][seriesIndex % 3]} ${metric} ${hptune.short(data[1])}` },
  });
};

hptune.figures.history = ({ axis }) => {
  const { progress, trials, metric } = hptune.data;
  const byTime = axis === "time";
  const points = byTime
    ? progress.map(([seconds, number, score]) => [seconds, score, number])
    : hptune.scored().map((index) => [trials.number[index], trials.score[index], trials.number[index]]).sort((a, b) => a[0] - b[0]);
  let best = null;
  const line = [];
  points.forEach(([x, score]) => { if (best === null || hptune.isBetter(score, best)) { best = score; } line.push([x, best]); });
  return hptune.frame({
    xAxis: hptune.axis(byTime ? "seconds of search" : "trial", { type: "value", scale: false, minInterval: byTime ? 0 : 1 }),
    yAxis: hptune.upAxis(metric, { type: "value" }),
    tooltip: { ...hptune.frame({}).tooltip, formatter: ({ data, seriesName }) => (data[2] === undefined ? `${seriesName}\n${metric} ${hptune.short(data[1])}` : `trial ${data[2]}\n${metric} ${hptune.short(data[1])}`) },
    series: [
      { name: "results", type: "scatter", symbolSize: points.length > 2000 ? 3 : 7, data: points, itemStyle: { color: hptune.theme.palette()[0], opacity: 0.65 } },
      { name: "best so far", type: "line", step: "end", showSymbol: false, data: line, lineStyle: { color: hptune.theme.palette()[1], width: 2 }, itemStyle: { color: hptune.theme.palette()[1] } },
    ],
  });
};

// More bars than these say no more: what follows matters less than any of them.
hptune.importantItems = () => hptune.data.importance.slice(0, 30);

hptune.figures.importance = () => {
  const items = hptune.importantItems().reverse();
  const ink = hptune.theme.colour("ink"), warm = hptune.theme.colour("warm");
  return hptune.frame({
    xAxis: hptune.axis("share of importance", { type: "value", min: 0, scale: false, axisLabel: { color: hptune.theme.colour("quiet"), hideOverlap: true, formatter: (value) => `${Math.round(100 * value)} %` } }),
    yAxis: { type: "category", data: items.map((item) => item.name), axisLabel: { color: ink, width: 130, overflow: "truncate" }, axisLine: { lineStyle: { color: hptune.theme.colour("line") } }, axisTick: { show: false } },
    tooltip: { ...hptune.frame({}).tooltip, trigger: "axis", axisPointer: { type: "shadow" }, formatter: (found) => { const item = items[found[0].dataIndex]; const percent = (value) => `${Math.round(100 * value)} %`; return `${item.name}: ${percent(item.share)}\nhalf-samples ${percent(item.low)} to ${percent(item.high)}\nwithout effect up to ${percent(item.chance)}`; } },
    series: [
      { name: "importance", type: "bar", data: items.map((item) => item.share), barMaxWidth: 18, itemStyle: { color: hptune.theme.colour("bar") } },
      { name: "half-samples", type: "custom", itemStyle: { color: ink }, data: items.map((item, row) => [item.low, row, item.high]), encode: { x: [0, 2], y: 1 }, z: 3, renderItem: (params, api) => {
        const left = api.coord([api.value(0), api.value(1)]), right = api.coord([api.value(2), api.value(1)]);
        const stroke = { style: { stroke: ink, lineWidth: 1.5 } };
        const bar = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, ...stroke });
        return { type: "group", children: [bar(left[0], left[1], right[0], right[1]), bar(left[0], left[1] - 4, left[0], left[1] + 4), bar(right[0], right[1] - 4, right[0], right[1] + 4)] };
      } },
      { name: "without effect", type: "scatter", symbol: "diamond", symbolSize: 10, data: items.map((item, row) => [Math.min(item.chance, 1), row]), itemStyle: { color: warm }, z: 4 },
    ],
  });
};

hptune.figures.distribution = () => {
  const scores = hptune.scored().map((index) => hptune.data.trials.score[index]).sort((a, b) => a - b);
  const points = scores.map((score, index) => [score, (index + 1) / scores.length]);
  return hptune.frame({
    legend: { show: false },
    xAxis: hptune.axis(hptune.data.metric, { type: "value" }),
    yAxis: hptune.upAxis("share of trials", { type: "value", min: 0, max: 1 }),
    tooltip: { ...hptune.frame({}).tooltip, trigger: "axis", formatter: (found) => `${Math.round(100 * found[0].data[1])} % of the trials have\n${hptune.data.metric} ${hptune.short(found[0].data[0])} or less` },
    series: [{ name: "trials", type: "line", step: "end", showSymbol: false, data: points, areaStyle: { opacity: 0.15 }, lineStyle: { width: 2 } }],
  });
};

hptune.figures.residuals = () => {
  const points = hptune.data.residuals.map(([truth, guess]) => [guess, guess - truth, truth]);
  return hptune.frame({
    legend: { show: false },
    xAxis: hptune.axis("predicted", { type: "value" }), yAxis: hptune.upAxis("predicted minus true", { type: "value" }),
    tooltip: { ...hptune.frame({}).tooltip, formatter: ({ data }) => `predicted ${hptune.short(data[0])}\ntrue ${hptune.short(data[2])}` },
    series: [{ name: "rows", type: "scatter", symbolSize: 6, data: points, itemStyle: { opacity: 0.6 }, markLine: { silent: true, symbol: "none", label: { show: false }, data: [{ yAxis: 0 }], lineStyle: { color: hptune.theme.colour("warm") } } }],
  });
};

hptune.figures.timeline = ({ narrow }) => {
  const { timeline } = hptune.data;
  const end = Math.max(1, ...timeline.map((bar) => bar[2] ?? bar[1]));
  // Trials that train side by side in one worker take the first lane that is free.
  const lanes = [], names = [];
  const bars = [...timeline].sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([worker, from, to, trial, outcome]) => {
    let lane = lanes.findIndex((known) => known.worker === worker && known.free <= from + 0.05);
    if (lane < 0) { lane = lanes.length; lanes.push({ worker, free: 0 }); names.push(`worker ${worker}`); }
    lanes[lane].free = to ?? end;
    return [lane, from, to ?? end, trial, outcome];
  });
  const colour = (outcome) => (outcome === "completed" ? hptune.theme.palette()[0] : outcome === "paused" ? hptune.theme.palette()[5] : outcome === "no end" ? hptune.theme.colour("quiet") : hptune.theme.palette()[1]);
  return hptune.frame({
    legend: { show: false },
    grid: { left: 12, right: 32, top: 8, bottom: 30, containLabel: true },
    xAxis: hptune.axis("seconds of search", { type: "value", scale: false, max: end }),
    yAxis: { type: "category", inverse: true, data: names, axisLabel: { color: hptune.theme.colour("ink") }, axisTick: { show: false }, axisLine: { lineStyle: { color: hptune.theme.colour("line") } } },
    dataZoom: [{ type: "inside", xAxisIndex: 0, filterMode: "weakFilter", zoomOnMouseWheel: "ctrl", moveOnMouseMove: !narrow, preventDefaultMouseMove: false }],
    tooltip: { ...hptune.frame({}).tooltip, formatter: ({ data }) => `trial ${data[3]}, ${data[4]}\n${hptune.short(data[1])} s to ${hptune.short(data[2])} s` },
    series: [{ name: "attempts", type: "custom", data: bars, encode: { x: [1, 2], y: 0 }, itemStyle: { color: hptune.theme.palette()[0] }, renderItem: (params, api) => {
      const from = api.coord([api.value(1), api.value(0)]), to = api.coord([api.value(2), api.value(0)]);
      const height = Math.min(api.size([0, 1])[1] * 0.7, 26);
      const shape = hptune.clip({ x: from[0], y: from[1] - height / 2, width: Math.max(to[0] - from[0] - 1, 1), height }, params.coordSys);
      return shape && { type: "rect", shape, style: { fill: colour(bars[params.dataIndex][4]) } };
    } }],
  });
};

hptune.clip = (shape, box) => echarts.graphic.clipRectByRect(shape, { x: box.x, y: box.y, width: box.width, height: box.height });
