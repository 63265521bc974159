"use strict";
// Figures of the search space: parallel coordinates, slices, pairs, regularization.

hptune.spaceAxis = (axis, extra) => {
  const ends = axis.kind === "choice" ? { type: "category", data: axis.values } : { type: axis.log ? "log" : "value", min: axis.min, max: axis.max, minInterval: axis.kind === "int" ? 1 : 0 };
  return { ...hptune.axis(axis.label, {}), ...ends, ...extra };
};

// Points of one axis spread a little sideways where they would cover each other; the same on every visit.
hptune.jitter = (index) => (((index * 2654435761) % 1000) / 1000 - 0.5) * 0.5;

// The best last, so that they lie on top.
hptune.worstFirst = () => hptune.scored().reverse();

hptune.rampMap = (dimension, extra) => {
  const [min, max] = hptune.scoreRange();
  const colours = hptune.data.direction === "max" ? hptune.theme.ramp() : hptune.theme.ramp().reverse();
  return { type: "continuous", show: false, dimension, min, max, inRange: { color: colours }, ...extra };
};

// A surface over choices lies in bins, one a choice; over numbers in even bins of the drawn axis.
hptune.toUnit = (axis, value) => {
  if (axis.kind === "choice") return (value + 0.5) / axis.values.length;
  if (axis.min === axis.max) return 0.5;
  return axis.log ? Math.log(value / axis.min) / Math.log(axis.max / axis.min) : (value - axis.min) / (axis.max - axis.min);
};

// As many axes as can be read side by side: the most important ones, in the order of the space.
hptune.parallelColumns = () => {
  const { axes, importance } = hptune.data;
  const rank = (column) => { const place = importance.findIndex((item) => item.name === axes[column].label); return place < 0 ? importance.length : place; };
  const columns = axes.map((_, column) => column);
  return columns.length <= 16 ? columns : columns.sort((a, b) => rank(a) - rank(b) || a - b).slice(0, 16).sort((a, b) => a - b);
};

hptune.figures.parallel = ({ narrow }) => {
  const { trials, metric } = hptune.data;
  const columns = hptune.parallelColumns(), axes = columns.map((column) => hptune.data.axes[column]);
  const ink = hptune.theme.colour("ink"), quiet = hptune.theme.colour("quiet");
  const scored = hptune.worstFirst();
  // Better is up.
  const isFalling = hptune.data.direction === "min" && !narrow;
  const look = (axis, dim) => ({
    dim, name: axis.label, nameTruncate: { maxWidth: narrow ? 200 : Math.max(Math.floor(1100 / (axes.length + 1)) - 6, 40), ellipsis: "…" }, nameTextStyle: { color: ink, fontSize: 12 },
    axisLabel: { color: quiet, fontSize: 11, formatter: (value) => hptune.short(value), hideOverlap: true, textBorderColor: hptune.theme.colour("back"), textBorderWidth: 3, width: narrow ? 60 : 70, overflow: "truncate" },
    axisLine: { lineStyle: { color: quiet } }, axisTick: { show: false },
  });
  const shown = axes.map((axis, dim) => ({ ...look(axis, dim), ...(axis.kind === "choice" ? { type: "category", data: axis.values } : { type: axis.log ? "log" : "value", min: axis.min, max: axis.max, minInterval: axis.kind === "int" ? 1 : 0 }) }));
  shown.push({ ...look({ label: metric }, axes.length), type: "value", scale: true, inverse: isFalling, nameLocation: isFalling ? "start" : "end" });
  return hptune.frame({
    legend: { show: false },
    parallel: { layout: narrow ? "vertical" : "horizontal", left: narrow ? 24 : 40, right: narrow ? 112 : 50, top: narrow ? 20 : 40, bottom: 24, axisExpandable: false },
    parallelAxis: shown.map((axis) => ({ ...axis, areaSelectStyle: { width: 16 } })),
    visualMap: hptune.rampMap(axes.length, { seriesIndex: 0 }),
    tooltip: { ...hptune.frame({}).tooltip, trigger: "item", formatter: ({ dataIndex }) => hptune.describeTrial(scored[dataIndex]) },
    series: [{
      name: "trials", type: "parallel", progressive: 500, inactiveOpacity: 0.04, activeOpacity: 0.9,
      lineStyle: { width: scored.length > 300 ? 1 : 1.6, opacity: scored.length > 2000 ? 0.15 : scored.length > 300 ? 0.35 : 0.7 },
      data: scored.map((index) => [...columns.map((column) => trials.values[column][index] ?? "-"), trials.score[index]]),
    }],
  });
};

hptune.figures.slice = ({ column }) => {
  const { axes, trials, metric } = hptune.data;
  const axis = axes[column];
  if (!axis) return hptune.frame({});
  const scored = hptune.worstFirst().filter((index) => trials.values[column][index] !== null);
  const isChoice = axis.kind === "choice";
  const points = scored.map((index) => [trials.values[column][index] + (isChoice ? hptune.jitter(index) : 0), trials.score[index], index]);
  const across = isChoice
    ? hptune.axis(axis.label, { type: "value", scale: false, min: -0.5, max: axis.values.length - 0.5, interval: 1, splitLine: { show: false }, axisTick: { show: false }, axisLabel: { show: false } })
    : hptune.spaceAxis(axis);
  const marks = isChoice ? axis.values.map((value, place) => [place, value]) : [];
  return hptune.frame({
    legend: { show: false }, xAxis: isChoice ? [across, { type: "category", position: "bottom", data: axis.values, axisLabel: { color: hptune.theme.colour("ink"), interval: 0, width: 90, overflow: "truncate" }, axisLine: { show: false }, axisTick: { show: false } }] : across,
    yAxis: hptune.upAxis(metric, { type: "value" }),
    tooltip: { ...hptune.frame({}).tooltip, formatter: ({ data }) => hptune.describeTrial(data[2]) },
    visualMap: hptune.rampMap(1, { seriesIndex: 0 }),
    series: [{ name: "trials", type: "scatter", xAxisIndex: 0, symbolSize: points.length > 2000 ? 3 : 8, data: points, itemStyle: { opacity: 0.8 } },
      ...(isChoice ? [{ name: "median", type: "scatter", symbol: "rect", symbolSize: [44, 3], silent: true, xAxisIndex: 0, itemStyle: { color: hptune.theme.colour("warm") }, data: marks.map(([place]) => [place, hptune.median(scored.filter((index) => trials.values[column][index] === place).map((index) => trials.score[index]))]).filter((point) => point[1] !== null) }] : [])],
  });
};

hptune.median = (values) => {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

// A kernel mean over the unit square; cells without a trial nearby are left out.
hptune.surface = (points, across, up) => {
  const count = (axis) => (axis.kind === "choice" ? axis.values.length : 24);
  const width = (axis) => (axis.kind === "choice" ? 0.35 / axis.values.length : 0.09);
  const columns = count(across), rows = count(up), wide = width(across), high = width(up), cells = [];
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const x = (column + 0.5) / columns, y = (row + 0.5) / rows;
      let weight = 0, total = 0;
      points.forEach(([px, py, score]) => {
        const distance = ((px - x) / wide) ** 2 + ((py - y) / high) ** 2;
        if (distance < 9) { const share = Math.exp(-distance / 2); weight += share; total += share * score; }
      });
      if (weight > 0.1) cells.push([column, row, total / weight]);
    }
  }
  return { cells, columns, rows };
};

hptune.figures.pair = ({ across: first, up: second }) => {
  const { axes, trials, metric } = hptune.data;
  const across = axes[first], up = axes[second];
  if (!across || !up || first === second) return hptune.sayInstead("Choose two different dimensions");
  const scored = hptune.scored().filter((index) => trials.values[first][index] !== null && trials.values[second][index] !== null);
  // More trials than these draw the same surface.
  const step = Math.max(1, Math.floor(scored.length / 2000));
  const used = scored.filter((_, order) => order % step === 0);
  const points = used.map((index) => [hptune.toUnit(across, trials.values[first][index]), hptune.toUnit(up, trials.values[second][index]), trials.score[index], index]);
  const { cells, columns, rows } = hptune.surface(points, across, up);
  const hidden = { show: false, axisLabel: { show: false }, axisTick: { show: false }, splitLine: { show: false } };
  const bins = (number) => ({ type: "category", data: Array.from({ length: number }, (_, index) => String(index)), ...hidden });
  const spread = (index, axis, unit) => (axis.kind === "choice" ? unit + hptune.jitter(index) * 0.8 / axis.values.length : unit);
  const label = (axis, unit) => {
    if (axis.kind === "choice") return axis.values[Math.min(Math.floor(unit * axis.values.length), axis.values.length - 1)];
    return hptune.short(axis.log ? axis.min * (axis.max / axis.min) ** unit : axis.min + unit * (axis.max - axis.min));
  };
  // Numbers are written at ends and quarters, choices in the middle of their bins.
  const unitAxis = (axis, make) => (axis.kind === "choice"
    ? { ...make(axis.label, {}), type: "category", data: axis.values, axisTick: { show: false }, splitLine: { show: false }, axisLabel: { color: hptune.theme.colour("quiet"), width: 90, overflow: "truncate" } }
    : { ...make(axis.label, {}), type: "value", scale: false, min: 0, max: 1, interval: 0.25, splitLine: { show: false }, axisLabel: { color: hptune.theme.colour("quiet"), hideOverlap: true, formatter: (unit) => label(axis, unit) } });
  const plain = { type: "value", min: 0, max: 1, ...hidden };
  return hptune.frame({
    legend: { show: false },
    xAxis: [unitAxis(across, hptune.axis), { ...bins(columns), position: "top" }, { ...plain, position: "top" }],
    yAxis: [unitAxis(up, hptune.upAxis), { ...bins(rows), position: "right" }, { ...plain, position: "right" }],
    visualMap: hptune.rampMap(2, { seriesIndex: 0 }),
    tooltip: { ...hptune.frame({}).tooltip, formatter: ({ data, seriesName }) => (seriesName === "trials" ? hptune.describeTrial(data[2]) : `smoothed ${metric} ${hptune.short(data[2])}`) },
    series: [
      { name: "surface", type: "heatmap", xAxisIndex: 1, yAxisIndex: 1, data: cells, itemStyle: { opacity: 0.9 } },
      { name: "trials", type: "scatter", xAxisIndex: 2, yAxisIndex: 2, symbolSize: points.length > 500 ? 4 : 7, data: points.map(([x, y, , index]) => [spread(index, across, x), spread(index + 7, up, y), index]), itemStyle: { color: "#ffffff", borderColor: "#111111", borderWidth: 1, opacity: 0.9 } },
      { name: "frame", type: "scatter", xAxisIndex: 0, yAxisIndex: 0, data: [] },
    ],
  });
};

hptune.figures.gap = ({ column }) => {
  const { trials } = hptune.data;
  const figure = hptune.figures.slice({ column });
  if (!figure.series) return figure;
  const series = figure.series[0];
  const [min, max] = [figure.visualMap.min, figure.visualMap.max];
  const points = series.data.filter((point) => trials.gap[point[2]] !== null).map(([x, score, index]) => [x, trials.gap[index], index, score]);
  const gaps = points.map((point) => point[1]).sort((a, b) => a - b);
  // A trial that went astray must not squeeze the others: the upper end is cut, and its dot lies at the edge.
  const roof = gaps.length ? gaps[Math.floor(0.97 * (gaps.length - 1))] : 1;
  return {
    ...figure,
    yAxis: hptune.upAxis("loss gap", { type: "value", max: gaps.length && gaps[gaps.length - 1] > 3 * Math.abs(roof) ? Number((1.1 * roof).toPrecision(2)) : null }),
    visualMap: { ...figure.visualMap, dimension: 3, min, max },
    series: [{ ...series, data: points, markLine: { silent: true, symbol: "none", label: { show: false }, data: [{ yAxis: 0 }], lineStyle: { color: hptune.theme.colour("warm") } } }],
    tooltip: { ...figure.tooltip, formatter: ({ data }) => `${hptune.describeTrial(data[2])}\nloss gap ${hptune.short(data[1])}` },
  };
};

hptune.figures.zeros = () => {
  const { axes, trials } = hptune.data;
  const column = axes.findIndex((axis) => axis.label === "l1");
  const kept = hptune.scored().filter((index) => trials.zeros[index] !== null);
  const across = column < 0 ? hptune.axis("rank", { type: "value" }) : hptune.spaceAxis(axes[column]);
  const points = kept.filter((index) => column < 0 || trials.values[column][index] !== null).map((index) => [column < 0 ? index + 1 : trials.values[column][index], trials.zeros[index], index, trials.score[index]]);
  return hptune.frame({
    legend: { show: false }, xAxis: across, yAxis: hptune.upAxis("share of zero weights", { type: "value", min: 0, scale: false }), visualMap: hptune.rampMap(3, { seriesIndex: 0 }),
    tooltip: { ...hptune.frame({}).tooltip, formatter: ({ data }) => `${hptune.describeTrial(data[2])}\n${Math.round(1000 * data[1]) / 10} % zeros` },
    series: [{ name: "trials", type: "scatter", symbolSize: 8, data: points, itemStyle: { opacity: 0.8 } }],
  });
};
