// The page is complete without this: here a slider uncovers the image, errors of a class are told apart, and tables are
// sorted.
"use strict";

const legends = [...document.querySelectorAll(".outcomes")];
const outcomes = [...legends[0].children].map(({ dataset, firstChild }) => (
  { code: Number(dataset.code), rgba: dataset.rgba.split(" ").map(Number), name: firstChild.nextSibling.data.trim() }));
const codeOf = Object.fromEntries(outcomes.map(({ code, name }) => [name, code]));
const focus = document.getElementById("focus");
const own = new Map();  // what each picture of errors shows now: source and text
for (const image of document.querySelectorAll(".errors img, .wrong img")) own.set(image, { src: image.src, alt: image.alt });

for (const figure of document.querySelectorAll("figure.errors")) {
  const picture = figure.querySelector(".picture");
  const overlay = picture.querySelector("img");
  const [select, range, output] = ["select", "input", "output"].map((tag) => figure.querySelector(tag));
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
    const { src, alt } = figure.parentElement.querySelector(`.small .${select.value} img`) ?? own.get(overlay);
    Object.assign(overlay, { src, alt });
  });
  select.value = "errors";  // browsers remember what was chosen before the page was loaded again
  range.value = 100;
  cover();
  figure.querySelector(".controls").hidden = false;
}

// Errors of another class are drawn from the pictures of labels and class map, whose pixels are ids of classes.

// Width and height as written: an image that was just given another picture does not know those of that yet.
const sizeOf = (image) => ["width", "height"].map((side) => Number(image.getAttribute(side)));

// The ids in a picture, row by row: a PNG as rsseg writes it, a byte to a pixel.
async function idsOf(image) {
  const bytes = Uint8Array.from(atob(image.src.split(",")[1]), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const packed = [];
  for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at)) {
    if (view.getUint32(at + 4) === 0x49444154) packed.push(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  const unpacked = new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = new Uint8Array(await new Response(unpacked).arrayBuffer());
  const [width] = sizeOf(image);
  return rows.filter((_, place) => place % (width + 1) !== 0);  // each row begins with its filter: none
}

// As `outcomes_of` of pictures.py; no class has the id -1.
const outcomeOf = (label, map, id) => {
  if (label === 255) return codeOf["no label"];
  if (map === 255) return codeOf["no data"];
  if (label === map) return label === id ? codeOf.found : codeOf.right;
  if (label === id) return codeOf.missed;
  return map === id ? codeOf["false alarm"] : id < 0 ? codeOf.wrong : codeOf["other errors"];
};

async function drawErrors(image, id) {
  const place = image.closest("article");
  const [labels, map] = await Promise.all([".labels img", ".map img"].map((at) => idsOf(place.querySelector(at))));
  const [width, height] = sizeOf(image);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const colors = new Map(outcomes.map(({ code, rgba }) => [code, rgba]));
  const counts = new Array(colors.size).fill(0);
  labels.forEach((label, pixel) => {
    const code = outcomeOf(label, map[pixel], id);
    counts[code] += 1;
    pixels.data.set(colors.get(code), 4 * pixel);
  });
  context.putImageData(pixels, 0, 0);
  const compared = labels.length - counts[codeOf["no label"]];
  const shares = outcomes.filter(({ code }) => code !== codeOf["no label"] && counts[code]).map(
    ({ code, name }) => `${(100 * counts[code] / compared).toFixed(2)} % ${name}`);
  const about = own.get(image).alt.replace(/: [^:]*$/, "");
  return { src: canvas.toDataURL(), alt: `${about}: ${shares.join(", ")}` };
}

async function refocus() {
  const chosen = focus.value;
  const id = chosen === "" ? -1 : Number(chosen);
  for (const image of own.keys()) {
    const drawn = await drawErrors(image, id);
    if (focus.value !== chosen) return;  // somebody was faster
    own.set(image, drawn);
    const select = image.closest("figure").querySelector("select");
    if (!select || select.value === "errors") Object.assign(image, own.get(image));
  }
  for (const item of legends.flatMap((legend) => [...legend.children])) {
    item.hidden = !item.dataset.shown.split(" ").includes(id < 0 ? "all" : "one");
  }
}

if (window.DecompressionStream) {
  focus.value = focus.querySelector("[selected]")?.value ?? "";
  focus.addEventListener("change", refocus);
  focus.closest(".controls").hidden = false;
  document.querySelector(".focus")?.remove();
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
