"use strict";
// The leaderboard: sorted by any column, filtered by words and comparisons, a page at a time so that it stays quick.

hptune.board = (() => {
  const ROWS = 25;
  const { trials, axes, metric, std_error, confirmed } = hptune.data;
  const columns = [
    { name: "rank", of: (index) => (trials.score[index] === null ? null : index + 1) },
    { name: "trial", of: (index) => trials.number[index] },
    { name: metric, of: (index) => trials.score[index] },
    ...(std_error ? [{ name: "std_error", of: (index) => std_error[index] }] : []),
    ...(confirmed ? [{ name: "confirmed", of: (index) => confirmed[index] }] : []),
    { name: "status", of: (index) => trials.status[index] },
    ...axes.map((axis, column) => ({
      name: axis.label,
      of: (index) => trials.values[column][index],
      show: (value) => (axis.kind === "choice" && value !== null ? axis.values[value] : hptune.short(value)),
    })),
    { name: "best_epoch", of: (index) => trials.best_epoch[index] },
    { name: "epochs", of: (index) => trials.epochs[index] },
    { name: "weights", of: (index) => trials.weights[index] },
    { name: `train ${metric}`, of: (index) => trials.train_score[index] },
    { name: "seconds", of: (index) => trials.seconds[index] },
  ];
  const show = (column, index) => (column.show ?? hptune.short)(column.of(index));
  const everything = trials.number.map((_, index) => index);
  const chosen = new Set();
  const watchers = [];
  let order = everything, sorted = { column: 0, down: false }, brushed = null, page = 0;

  const element = (id) => document.getElementById(id);
  const make = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    made.textContent = text;
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    return made;
  };

  function matcher(text) {
    const tests = text.trim().split(/\s+/).filter(Boolean).map((word) => {
      const parts = word.match(/^([^<>=]+)(<=|>=|<|>|=)(.*)$/);
      const column = parts && columns.find((known) => known.name.replace(/\s/g, "_") === parts[1] || known.name === parts[1]);
      if (!column) return (index) => columns.some((known) => show(known, index).toLowerCase().includes(word.toLowerCase()));
      const [, , sign, given] = parts, number = Number(given);
      if (sign === "=") return (index) => show(column, index).toLowerCase() === given.toLowerCase() || (given !== "" && column.show === undefined && column.of(index) === number);
      const value = (index) => { const shown = Number(show(column, index)); return column.of(index) === null ? NaN : Number.isNaN(shown) ? NaN : shown; };
      return { "<": (i) => value(i) < number, ">": (i) => value(i) > number, "<=": (i) => value(i) <= number, ">=": (i) => value(i) >= number }[sign];
    });
    return (index) => tests.every((test) => test(index));
  }

  function compare(a, b) {
    const column = columns[sorted.column];
    let first = column.of(a), second = column.of(b);
    // What is missing stays last, whichever way one sorts.
    if (first === null || second === null) return (first === null) - (second === null) || a - b;
    if (column.show) { const numbers = [column.show(first), column.show(second)].map(Number); if (numbers.some(Number.isNaN)) { first = column.show(first); second = column.show(second); } else { [first, second] = numbers; } }
    const way = first < second ? -1 : first > second ? 1 : 0;
    return (sorted.down ? -way : way) || a - b;
  }

  function arrange() {
    const matches = matcher(element("filter").value);
    order = everything.filter((index) => (brushed === null || brushed.has(index)) && matches(index)).sort(compare);
    page = 0;
    draw();
  }

  function draw() {
    const body = element("board").tBodies[0];
    body.replaceChildren(...order.slice(page * ROWS, (page + 1) * ROWS).map((index) => {
      const row = document.createElement("tr");
      columns.forEach((column) => {
        const cell = make("td", column.name === "trial" ? "" : show(column, index));
        if (column.name === "trial") {
          const button = make("button", show(column, index), { type: "button", "aria-pressed": String(chosen.has(index)), title: "show its learning curve" });
          button.addEventListener("click", () => { if (!chosen.delete(index)) chosen.add(index); button.setAttribute("aria-pressed", String(chosen.has(index))); watchers.forEach((watcher) => watcher()); });
          cell.append(button);
        }
        row.append(cell);
      });
      return row;
    }));
    const pages = Math.max(Math.ceil(order.length / ROWS), 1);
    element("count").textContent = order.length === everything.length ? `${everything.length} trials` : `${order.length} of ${everything.length} trials`;
    element("page").textContent = `page ${page + 1} of ${pages}`;
    element("previous").disabled = page === 0;
    element("next").disabled = page >= pages - 1;
    element("pager").hidden = pages === 1;
    element("clear-brush").hidden = brushed === null;
  }

  function head() {
    const row = document.createElement("tr");
    columns.forEach((column, place) => {
      const cell = make("th", "", { scope: "col", "aria-sort": "none" });
      const button = make("button", column.name, { type: "button" });
      button.addEventListener("click", () => {
        sorted = { column: place, down: sorted.column === place ? !sorted.down : false };
        [...row.children].forEach((other) => { other.setAttribute("aria-sort", "none"); other.firstChild.textContent = other.firstChild.textContent.replace(/ [▲▼]$/, ""); });
        cell.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
        button.textContent = `${column.name} ${sorted.down ? "▼" : "▲"}`;
        arrange();
      });
      cell.append(button);
      row.append(cell);
    });
    element("board").tHead.append(row);
  }

  head();
  element("filter").addEventListener("input", arrange);
  element("previous").addEventListener("click", () => { page -= 1; draw(); });
  element("next").addEventListener("click", () => { page += 1; draw(); });
  arrange();

  return {
    watch: (watcher) => watchers.push(watcher),
    chosen: () => [...chosen].sort((a, b) => a - b),
    brush: (indices) => { brushed = indices; arrange(); },
  };
})();
