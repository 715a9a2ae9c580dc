// Canvases with axes: sharp on any screen, in the colors of the page, with round ticks.

function themeColors() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    ink: of("--ink"), soft: of("--soft"), line: of("--line"), paper: of("--panel"),
    data: of("--data"), model: of("--model"), mark: of("--mark"),
  };
}

// Stops of viridis, by Stéfan van der Walt and Nathaniel Smith, in the public domain.
const VIRIDIS = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37],
];

function viridis(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const below = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[below].map((v, i) => Math.round(v + (place - below) * (VIRIDIS[below + 1][i] - v)));
}

function ticksOf(low, high, most) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * span; k++) ticks.push(k * step);
  return ticks;
}

function tickText(value, step) {
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(step) < 1e-4)) return words(value, 3);
  return value.toFixed(Math.max(0, Math.ceil(-Math.log10(step) - 1e-9))).replace("-", "−");
}

// Make the canvas as sharp as the screen; its drawing units are the pixels of the page.
function sharp(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

function fontOf(size) {
  return `${size}px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif`;
}

// A rectangle with scales: x and y turn values into pixels, and toX and toY back.
function scales(box, xRange, yRange) {
  const [x0, x1] = xRange;
  const [y0, y1] = yRange;
  return {
    box, xRange, yRange,
    x: (v) => box.left + ((v - x0) / (x1 - x0 || 1)) * box.width,
    y: (v) => box.top + box.height - ((v - y0) / (y1 - y0 || 1)) * box.height,
    toX: (p) => x0 + ((p - box.left) / box.width) * (x1 - x0),
    toY: (p) => y0 + ((box.top + box.height - p) / box.height) * (y1 - y0),
  };
}

function drawAxes(context, scale, xLabel, yLabel, colors) {
  const { box, xRange, yRange } = scale;
  context.strokeStyle = colors.soft;
  context.lineWidth = 1;
  context.strokeRect(box.left + 0.5, box.top + 0.5, box.width - 1, box.height - 1);
  context.fillStyle = colors.ink;
  context.font = fontOf(12);
  const xTicks = ticksOf(xRange[0], xRange[1], Math.max(3, box.width / 70));
  const yTicks = ticksOf(yRange[0], yRange[1], Math.max(2, box.height / 50));
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const tick of xTicks) {
    context.fillRect(Math.round(scale.x(tick)), box.top + box.height, 1, 4);
    context.fillText(tickText(tick, xTicks[1] - xTicks[0] || 1), scale.x(tick), box.top + box.height + 6);
  }
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const tick of yTicks) {
    context.fillRect(box.left - 4, Math.round(scale.y(tick)), 4, 1);
    context.fillText(tickText(tick, yTicks[1] - yTicks[0] || 1), box.left - 7, scale.y(tick));
  }
  context.textAlign = "center";
  context.textBaseline = "bottom";
  context.fillText(xLabel, box.left + box.width / 2, box.top + box.height + 38);
  context.save();
  context.translate(13, box.top + box.height / 2);
  context.rotate(-Math.PI / 2);
  context.textBaseline = "middle";
  context.fillText(yLabel, 0, 0);
  context.restore();
}

function drawColorBar(context, box, range, label, colors) {
  const left = box.left + box.width + 14;
  for (let i = 0; i < box.height; i++) {
    context.fillStyle = `rgb(${viridis(1 - i / box.height)})`;
    context.fillRect(left, box.top + i, 12, 1.5);
  }
  context.fillStyle = colors.ink;
  context.font = fontOf(12);
  context.textAlign = "left";
  context.textBaseline = "middle";
  const ticks = ticksOf(range[0], range[1], 5);
  for (const tick of ticks) {
    const y = box.top + box.height * (1 - (tick - range[0]) / (range[1] - range[0] || 1));
    context.fillText(tickText(tick, ticks[1] - ticks[0] || 1), left + 16, y);
  }
  context.save();
  context.translate(left + 58, box.top + box.height / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText(label, 0, 0);
  context.restore();
}

// A ring that is seen on any background.
function drawMark(context, x, y, radius, color) {
  for (const [width, style] of [[5, "#ffffff"], [2.5, color]]) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.lineWidth = width;
    context.strokeStyle = style;
    context.stroke();
  }
}

// Where a mouse or finger is on a canvas, in the pixels of the page.
function placeOn(canvas, event) {
  const frame = canvas.getBoundingClientRect();
  return [event.clientX - frame.left, event.clientY - frame.top];
}

function padded(low, high) {
  const margin = 0.04 * (high - low) || 0.5;
  return [low - margin, high + margin];
}
