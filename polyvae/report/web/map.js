// The latent map: free energy of all frames, or the shown frames colored by a number; a click selects a frame.

class LatentMap {
  constructor(run, canvas, controls, onSelect) {
    Object.assign(this, { run, canvas, controls, onSelect });
    this.point = null;
    this.other = null;
    this.preview = null;
    this.picture = document.createElement("canvas");
    const { names, n_latent: n } = run;
    for (const select of [controls.x, controls.y]) {
      names.forEach((name, axis) => select.add(new Option(name, axis)));
      select.addEventListener("change", () => this.redraw());
    }
    controls.x.value = 0;
    controls.y.value = n > 1 ? 1 : n;
    controls.color.add(new Option("free energy", "energy"));
    [...names, run.clockName].forEach((name, axis) => controls.color.add(new Option(`frames by ${name}`, axis)));
    controls.color.addEventListener("change", () => this.redraw());
    canvas.addEventListener("click", (event) => this.choose(...placeOn(canvas, event)));
    canvas.addEventListener("mousemove", (event) => this.hover(...placeOn(canvas, event)));
    canvas.addEventListener("mouseleave", () => { controls.tip.hidden = true; });
    canvas.addEventListener("keydown", (event) => this.walk(event));
  }

  get axes() {
    return [Number(this.controls.x.value), Number(this.controls.y.value)];
  }

  // The surface of these axes, and whether it is stored the other way round.
  surface() {
    const [x, y] = this.axes;
    for (const surface of this.run.surfaces) {
      const [a, b] = surface.axes;
      if (a === x && b === y) return { surface, turned: false };
      if (a === y && b === x) return { surface, turned: true };
    }
    return null;
  }

  cell(found, column, row) {
    const [nx, ny] = this.bins(found);
    if (column < 0 || row < 0 || column >= nx || row >= ny) return null;
    const index = found.turned ? row * nx + column : column * ny + row;
    const energy = found.surface.energy[index];
    return energy < 0 ? null
      : { energy: energy / 1000, error: found.surface.error[index] / 1000, bad: found.surface.bad[index] > 0 };
  }

  bins(found) {
    const edges = found.turned ? [...found.surface.edges].reverse() : found.surface.edges;
    return [edges[0][2], edges[1][2], edges];
  }

  energyAt(x, y) {
    const found = this.surface();
    if (!found) return null;
    const [, , edges] = this.bins(found);
    const place = (value, [low, high, n]) => Math.min(n - 1, Math.floor(((value - low) / (high - low)) * n));
    return this.cell(found, place(x, edges[0]), place(y, edges[1]));
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
    const [ax, ay] = this.axes;
    const [xs, ys] = [run.columns[ax], run.columns[ay]];
    const range = (column) => padded(run.raw.columns[column].low, run.raw.columns[column].high);
    const box = { left: 56, top: 10, width: width - 56 - 82, height: height - 10 - 46 };
    this.scale = scales(box, range(ax), range(ay));
    context.fillStyle = colors.paper;
    context.fillRect(0, 0, width, height);
    const found = this.surface();
    const mode = this.controls.color.value;
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    if (mode === "energy" && found) this.drawSurface(context, found, colors);
    else this.drawFrames(context, xs, ys, mode);
    this.drawStructures(context);
    context.restore();
    const label = (axis) => withUnit(run.names[axis], run.units[axis] && `(${run.units[axis]})`);
    drawAxes(context, this.scale, label(ax), label(ay), colors);
    drawColorBar(context, box, this.colorRange, this.colorLabel, colors);
    this.mark();
  }

  drawSurface(context, found, colors) {
    const { scale } = this;
    const [nx, ny, edges] = this.bins(found);
    const highest = Math.max(...found.surface.energy) / 1000;
    this.colorRange = [0, Math.min(highest, 10) || 1];
    this.colorLabel = "free energy (kT)";
    const at = (k, [low, high, n]) => low + ((high - low) * k) / n;
    for (let i = 0; i < nx; i++) {
      for (let j = 0; j < ny; j++) {
        const cell = this.cell(found, i, j);
        if (cell === null) continue;
        const [left, right] = [scale.x(at(i, edges[0])), scale.x(at(i + 1, edges[0]))];
        const [top, bottom] = [scale.y(at(j + 1, edges[1])), scale.y(at(j, edges[1]))];
        context.fillStyle = `rgb(${viridis(cell.energy / this.colorRange[1])})`;
        context.fillRect(left, top, right - left + 0.6, bottom - top + 0.6);
        if (cell.bad) {
          context.fillStyle = colors.paper;
          context.globalAlpha = 0.55;
          context.fillRect((left + right) / 2 - 1, (top + bottom) / 2 - 1, 2, 2);
          context.globalAlpha = 1;
        }
      }
    }
  }

  drawFrames(context, xs, ys, mode) {
    const { run, scale } = this;
    const number = mode === "energy" ? run.columns.length : Number(mode);
    const values = number < run.columns.length ? run.columns[number] : run.clock;
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
    this.colorRange = [low, high > low ? high : low + 1];
    const unit = number < run.columns.length ? run.units[number] : run.clockUnit;
    this.colorLabel = withUnit(number < run.columns.length ? run.names[number] : run.clockName, unit && `(${unit})`);
    const size = xs.length > 5000 ? 2 : 3;
    context.globalAlpha = xs.length > 5000 ? 0.6 : 0.8;
    for (let i = 0; i < xs.length; i++) {
      context.fillStyle = `rgb(${viridis((values[i] - low) / (high - low || 1))})`;
      context.fillRect(scale.x(xs[i]) - size / 2, scale.y(ys[i]) - size / 2, size, size);
    }
    context.globalAlpha = 1;
  }

  // Frames whose structure is embedded: small rings that invite a click.
  drawStructures(context) {
    const set = this.run.structures.find((each) => each.name === "data");
    if (!set) return;
    const radius = this.scale.box.width < 300 ? 1.4 : 2.2;
    for (let item = 0; item < set.n; item++) {
      const [x, y] = this.axes.map((axis) => (axis < this.run.n_latent ? set.latent[item][axis] : set.gyration[item]));
      context.beginPath();
      context.arc(this.scale.x(x), this.scale.y(y), radius, 0, 2 * Math.PI);
      context.lineWidth = 0.8;
      context.strokeStyle = "rgba(0,0,0,0.75)";
      context.fillStyle = "rgba(255,255,255,0.9)";
      context.fill();
      context.stroke();
    }
  }

  // What changes with every selection, over the picture that does not.
  mark() {
    const { context, width, height } = sharp(this.canvas);
    context.drawImage(this.picture, 0, 0, width, height);
    const colors = themeColors();
    const { run, scale } = this;
    if (!scale) return;
    const { box } = scale;
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    if (this.point !== null) {
      const [x, y] = this.axes.map((axis) => run.columns[axis][this.point]);
      drawMark(context, scale.x(x), scale.y(y), 7, colors.mark);
    }
    if (this.other !== null) {
      const [x, y] = this.axes.map((axis) => (axis < run.n_latent ? this.other.latent[axis] : this.other.gyration));
      const [px, py] = [scale.x(x), scale.y(y)];
      for (const [line, style] of [[5, "#ffffff"], [2.5, colors.model]]) {
        context.lineWidth = line;
        context.strokeStyle = style;
        context.strokeRect(px - 6, py - 6, 12, 12);
      }
    }
    context.restore();
  }

  nearest(px, py, within) {
    const { run, scale } = this;
    const [xs, ys] = this.axes.map((axis) => run.columns[axis]);
    let best = null;
    let least = within * within;
    for (let i = 0; i < xs.length; i++) {
      const square = (scale.x(xs[i]) - px) ** 2 + (scale.y(ys[i]) - py) ** 2;
      if (square < least) [least, best] = [square, i];
    }
    return best;
  }

  choose(px, py) {
    const point = this.nearest(px, py, Infinity);
    if (point !== null) this.onSelect(point);
  }

  hover(px, py) {
    const { tip } = this.controls;
    const point = this.nearest(px, py, 14);
    if (point === null) {
      tip.hidden = true;
      return;
    }
    const lines = describe(this.run, point).map(([name, value]) => `${name} ${value}`);
    const cell = this.energyAt(this.scale.toX(px), this.scale.toY(py));
    if (cell) lines.push(`free energy ${words(cell.energy)} ± ${words(cell.error, 2)} kT`);
    const text = document.createElement("div");
    text.textContent = lines.join("\n");
    tip.replaceChildren(text);
    tip.hidden = false;
    if (this.preview) this.preview(point, tip);
    const right = px > this.canvas.clientWidth / 2;
    tip.style.left = right ? "auto" : `${px + 14}px`;
    tip.style.right = right ? `${this.canvas.clientWidth - px + 14}px` : "auto";
    tip.style.top = `${py + 10}px`;
  }

  // Arrow keys: the nearest shown frame in that direction, at least some pixels away.
  walk(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (!way || this.point === null) return;
    event.preventDefault();
    const { run, scale } = this;
    const [xs, ys] = this.axes.map((axis) => run.columns[axis]);
    const [px, py] = [scale.x(xs[this.point]), scale.y(ys[this.point])];
    let best = null;
    let least = Infinity;
    for (let i = 0; i < xs.length; i++) {
      const [dx, dy] = [scale.x(xs[i]) - px, scale.y(ys[i]) - py];
      const along = dx * way[0] + dy * way[1];
      const across = Math.abs(dx * way[1] + dy * way[0]);
      if (along >= 6 && across <= along && along + 2 * across < least) [least, best] = [along + 2 * across, i];
    }
    if (best !== null) this.onSelect(best);
  }
}
