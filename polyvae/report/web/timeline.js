// One coordinate against time: a click selects the frame, two buttons zoom.

class Timeline {
  constructor(run, canvas, controls, onSelect) {
    Object.assign(this, { run, canvas, controls, onSelect });
    this.point = 0;
    this.picture = document.createElement("canvas");
    run.names.forEach((name, axis) => controls.y.add(new Option(name, axis)));
    controls.y.addEventListener("change", () => this.redraw());
    canvas.addEventListener("click", (event) => this.choose(...placeOn(canvas, event)));
    canvas.addEventListener("keydown", (event) => this.walk(event));
    controls.closer.addEventListener("click", () => this.zoom(4));
    controls.whole.addEventListener("click", () => this.zoom(0));
    this.whole = padded(Math.min(...ends(run.clock)), Math.max(...ends(run.clock)));
    this.range = this.whole;
  }

  zoom(factor) {
    const center = this.run.clock[this.point];
    const half = factor ? (this.range[1] - this.range[0]) / (2 * factor) : Infinity;
    this.range = half < Infinity && half > 0 ? [center - half, center + half] : this.whole;
    this.redraw();
  }

  redraw() {
    const { run, canvas } = this;
    const { width, height } = sharp(canvas);
    if (!width) return;
    this.picture.width = canvas.width;
    this.picture.height = canvas.height;
    const context = this.picture.getContext("2d");
    const ratio = canvas.width / width;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const colors = themeColors();
    context.fillStyle = colors.paper;
    context.fillRect(0, 0, width, height);
    const axis = Number(this.controls.y.value);
    const box = { left: 56, top: 8, width: width - 56 - 14, height: height - 8 - 46 };
    const column = run.raw.columns[axis];
    this.scale = scales(box, this.range, padded(column.low, column.high));
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    this.drawLine(context, run.columns[axis], colors);
    context.restore();
    const label = (name, unit) => withUnit(name, unit && `(${unit})`);
    drawAxes(
      context, this.scale, label(run.clockName, run.clockUnit), label(run.names[axis], run.units[axis]), colors,
    );
    this.mark();
  }

  // Dots; with a line between frames where there is room, never across a join of simulations.
  drawLine(context, values, colors) {
    const { run, scale } = this;
    const inside = [];
    for (let i = 0; i < values.length; i++) {
      if (run.clock[i] >= this.range[0] && run.clock[i] <= this.range[1]) inside.push(i);
    }
    const dense = inside.length > 3 * scale.box.width;
    if (!dense) {
      context.beginPath();
      inside.forEach((i, k) => {
        const place = [scale.x(run.clock[i]), scale.y(values[i])];
        if (k === 0 || run.joins.has(i)) context.moveTo(...place);
        else context.lineTo(...place);
      });
      context.strokeStyle = colors.data;
      context.globalAlpha = 0.35;
      context.lineWidth = 1;
      context.stroke();
    }
    context.fillStyle = colors.data;
    context.globalAlpha = dense ? 0.45 : 0.9;
    const size = dense ? 1.5 : 3;
    for (const i of inside) {
      context.fillRect(scale.x(run.clock[i]) - size / 2, scale.y(values[i]) - size / 2, size, size);
    }
    context.globalAlpha = 1;
  }

  mark() {
    const { context, width, height } = sharp(this.canvas);
    context.drawImage(this.picture, 0, 0, width, height);
    if (!this.scale) return;
    const { run, scale } = this;
    const { box } = scale;
    const colors = themeColors();
    const [x, y] = [scale.x(run.clock[this.point]), scale.y(run.columns[Number(this.controls.y.value)][this.point])];
    if (x < box.left || x > box.left + box.width) return;
    context.fillStyle = colors.mark;
    context.fillRect(x - 0.75, box.top, 1.5, box.height);
    drawMark(context, x, y, 6, colors.mark);
  }

  choose(px, py) {
    const { run, scale } = this;
    const values = run.columns[Number(this.controls.y.value)];
    let best = null;
    let least = Infinity;
    for (let i = 0; i < values.length; i++) {
      const dx = scale.x(run.clock[i]) - px;
      if (Math.abs(dx) > 40 && best !== null) continue;
      const square = dx * dx + (0.25 * (scale.y(values[i]) - py)) ** 2;
      if (square < least) [least, best] = [square, i];
    }
    if (best !== null) this.onSelect(best);
  }

  walk(event) {
    const ways = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -50, PageUp: 50 };
    const last = this.run.frames.length - 1;
    let point = this.point + (ways[event.key] || 0) * (event.shiftKey ? 10 : 1);
    if (event.key === "Home") point = 0;
    else if (event.key === "End") point = last;
    else if (!ways[event.key]) return;
    event.preventDefault();
    this.onSelect(Math.min(Math.max(point, 0), last));
  }
}

function ends(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return [low, high];
}
