// The page is complete without this: here a slider uncovers the image, and tables are sorted.
"use strict";

for (const figure of document.querySelectorAll("figure.errors")) {
  const picture = figure.querySelector(".picture");
  const overlay = picture.querySelector("img");
  const [select, range, output] = ["select", "input", "output"].map((tag) => figure.querySelector(tag));
  const own = { src: overlay.src, alt: overlay.alt };
  const edge = picture.appendChild(document.createElement("div"));
  edge.className = "edge";
  const cover = () => {
    picture.style.setProperty("--shown", `${range.value}%`);
    output.textContent = `${range.value} %`;
    range.setAttribute("aria-valuetext", `${range.value} percent from the left`);
    edge.hidden = range.value === "100";
  };
  range.addEventListener("input", cover);
  select.addEventListener("change", () => {
    const other = figure.parentElement.querySelector(`.small .${select.value} img`);
    overlay.src = (other ?? own).src;
    overlay.alt = (other ?? own).alt;
  });
  select.value = "errors";  // browsers remember what was chosen before the page was loaded again
  range.value = 100;
  cover();
  figure.querySelector(".controls").hidden = false;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const number = (text) => Number.parseFloat(text.replaceAll(",", ""));
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const rises = head.getAttribute("aria-sort") === "descending";
      const compare = (a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        const [m, n] = [number(x), number(y)];
        if (column === 0 || (Number.isNaN(m) && Number.isNaN(n))) return x.localeCompare(y, undefined, { numeric: true });
        return (Number.isNaN(m) ? -Infinity : m) - (Number.isNaN(n) ? -Infinity : n);
      };
      const rows = [...body.rows].sort((a, b) => (rises ? compare(a, b) : compare(b, a)));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rises ? "ascending" : "descending");
      body.append(...rows);
    });
  });
}
