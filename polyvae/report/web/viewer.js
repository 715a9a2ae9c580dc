// Structures in space: 3Dmol.js where the browser has WebGL, a drawing on a canvas where not, and for two dimensions.

function hasWebGL() {
  try {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
  } catch {
    return false;
  }
}

const SPREAD = { flat: 0.32, beads: 0.32, trace: 0.3, cartoon: 0.2, sticks: 0.2, lines: 0.15 };

// Balls and sticks by the painter's algorithm: far ones first, and paler.
class Drawing {
  constructor(run, host) {
    this.run = run;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "drawing";
    host.append(this.canvas);
    this.reset();
    let from = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      from = [event.clientX, event.clientY];
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (from === null) return;
      this.turn((event.clientX - from[0]) * 0.6, (event.clientY - from[1]) * 0.6);
      from = [event.clientX, event.clientY];
    });
    this.canvas.addEventListener("pointerup", () => { from = null; });
  }

  reset() {
    this.rows = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    this.factor = 1;
    if (this.shown) this.show(...this.shown);
  }

  // Degrees about the vertical and the horizontal axis; a plane turns in itself.
  turn(about, over) {
    const [a, b] = [(about * Math.PI) / 180, (over * Math.PI) / 180];
    const [c, s, d, t] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b)];
    const [x, y, z] = this.rows;
    if (this.run.system.dims === 2) {
      this.rows = [x.map((v, i) => c * v - s * y[i]), x.map((v, i) => s * v + c * y[i]), z];
    } else {
      const [x2, z2] = [x.map((v, i) => c * v + s * z[i]), x.map((v, i) => c * z[i] - s * v)];
      this.rows = [x2, y.map((v, i) => d * v - t * z2[i]), y.map((v, i) => t * v + d * z2[i])];
    }
    if (this.shown) this.show(...this.shown);
  }

  zoom(factor) {
    this.factor *= factor;
    if (this.shown) this.show(...this.shown);
  }

  show(positions, back, extent) {
    this.shown = [positions, back, extent];
    const { context, width, height } = sharp(this.canvas);
    if (!width) return;
    const colors = themeColors();
    const scale = (this.factor * 0.46 * Math.min(width, height)) / extent;
    const parts = [[positions, colors.data, 0.95]];
    if (back) parts.push([back, colors.model, 0.75]);
    const shapes = parts.flatMap(([all, color, alpha]) => this.shapes(all, color, alpha, scale, extent));
    shapes.sort((a, b) => a.depth - b.depth);
    context.translate(width / 2, height / 2);
    for (const shape of shapes) {
      context.globalAlpha = shape.alpha;
      if (shape.to) {
        context.beginPath();
        context.moveTo(...shape.at);
        context.lineTo(...shape.to);
        context.strokeStyle = shape.color;
        context.lineWidth = shape.size;
        context.lineCap = "round";
        context.stroke();
        continue;
      }
      context.beginPath();
      context.arc(...shape.at, shape.size, 0, 2 * Math.PI);
      context.fillStyle = shape.color;
      context.fill();
      context.globalAlpha = 1;
      context.lineWidth = 1;
      context.strokeStyle = colors.paper;
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  shapes(all, color, alpha, scale, extent) {
    const { dims, atoms, bonds, style } = this.run.system;
    const places = atoms.map((_, atom) => {
      const at = [0, 1, 2].map((axis) => (axis < dims ? all[atom * dims + axis] : 0));
      const turned = this.rows.map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2]);
      return { at: [turned[0] * scale, -turned[1] * scale], depth: turned[2] };
    });
    const pale = (depth) => (dims === 2 ? alpha : alpha * (0.65 + 0.35 * Math.min(1, Math.max(-1, depth / extent))));
    const length = this.bondLength(all) * scale;
    const size = Math.max(2, SPREAD[style] * length);
    const sticks = bonds.map(([i, j]) => {
      const depth = (places[i].depth + places[j].depth) / 2;
      return { at: places[i].at, to: places[j].at, depth, color, alpha: pale(depth), size: Math.max(1.5, size * 0.6) };
    });
    if (style !== "flat" && style !== "beads" && bonds.length) return sticks;
    return [...sticks, ...places.map((place) => ({ ...place, color, alpha: pale(place.depth), size }))];
  }

  bondLength(all) {
    const { dims, bonds, atoms } = this.run.system;
    if (!bonds.length) return this.shown[2] / Math.sqrt(atoms.length);
    const lengths = bonds.map(([i, j]) => {
      let square = 0;
      for (let d = 0; d < dims; d++) square += (all[i * dims + d] - all[j * dims + d]) ** 2;
      return Math.sqrt(square);
    });
    return lengths.sort((a, b) => a - b)[lengths.length >> 1];
  }
}

// The same with 3Dmol.js.
class Molecule {
  constructor(run, host) {
    this.run = run;
    this.viewer = window.$3Dmol.createViewer(host, { backgroundColor: themeColors().paper, antialias: true });
    if (!this.viewer) throw new Error("no viewer");
    this.canvas = host.querySelector("canvas");
    this.framed = false;
    // The wheel belongs to the page, unless the viewer is asked for with Ctrl.
    host.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) event.stopPropagation();
    }, { capture: true });
  }

  reset() {
    this.framed = false;
    this.viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
    if (this.shown) this.show(...this.shown);
  }

  turn(about, over) {
    if (about) this.viewer.rotate(about, "y");
    if (over) this.viewer.rotate(over, "x");
    this.viewer.render();
  }

  zoom(factor) {
    this.viewer.zoom(factor);
    this.viewer.render();
  }

  repaint() {
    this.viewer.setBackgroundColor(themeColors().paper);
    this.viewer.resize();
    if (this.shown) this.show(...this.shown);
  }

  show(positions, back, extent) {
    this.shown = [positions, back, extent];
    const colors = themeColors();
    this.viewer.removeAllModels();
    this.add(positions, colors.data, true);
    if (back) this.add(back, colors.model, false);
    if (!this.framed) {
      this.viewer.zoomTo();
      const own = Math.max(...positions.map(Math.abs));
      this.viewer.zoom(Math.min(1, (1.15 * own) / extent));
      this.framed = true;
    }
    this.viewer.render();
  }

  add(positions, color, isData) {
    const { style } = this.run.system;
    const model = style === "cartoon"
      ? this.viewer.addModel(this.pdbOf(positions), "pdb") : this.viewer.addModel();
    if (style !== "cartoon") model.addAtoms(this.atomsOf(positions));
    model.setStyle({}, this.styleOf(color, isData));
  }

  styleOf(color, isData) {
    const opacity = isData ? 1 : 0.8;
    const carbons = isData ? { colorscheme: "default" } : { color };
    return {
      beads: { sphere: { radius: 1.15, color, opacity }, stick: { radius: 0.5, color, opacity } },
      trace: { cartoon: { style: "trace", thickness: 1.1, opacity, ...(isData ? { color: "spectrum" } : { color }) } },
      cartoon: { cartoon: { opacity, ...(isData ? { color: "spectrum" } : { color }) } },
      sticks: { stick: { radius: 0.16, opacity, ...carbons }, sphere: { scale: 0.24, opacity, ...carbons } },
      lines: { line: { linewidth: 2, opacity, ...carbons } },
    }[this.run.system.style];
  }

  atomsOf(positions) {
    const { atoms, bonds, to_angstrom: factor } = this.run.system;
    const list = atoms.map(([name, elem, resn, resi, chain], i) => ({
      serial: i, index: i, atom: name, elem: elem || "C", resn, resi, chain: String.fromCharCode(65 + (chain % 26)),
      x: positions[3 * i] * factor, y: positions[3 * i + 1] * factor, z: positions[3 * i + 2] * factor,
      bonds: [], bondOrder: [], hetflag: false, ss: "c", properties: {},
    }));
    for (const [i, j] of bonds) {
      list[i].bonds.push(j);
      list[i].bondOrder.push(1);
      list[j].bonds.push(i);
      list[j].bondOrder.push(1);
    }
    return list;
  }

  // As PDB text, from which 3Dmol.js finds helices and strands; names are cut to plain letters of its columns.
  pdbOf(positions) {
    const { atoms, to_angstrom: factor } = this.run.system;
    const plain = (text, width) => text.replace(/[^A-Za-z0-9'*+-]/g, "").slice(0, width);
    return atoms.map(([name, element, residue, number, chain], i) => {
      const at = [0, 1, 2].map((d) => (positions[3 * i + d] * factor).toFixed(3).padStart(8).slice(0, 8)).join("");
      const label = plain(name, 4);
      return "ATOM  " + String((i + 1) % 100000).padStart(5) + " "
        + (label.length < 4 ? ` ${label}` : label).padEnd(4) + " " + plain(residue, 3).padStart(3) + " "
        + String.fromCharCode(65 + (chain % 26)) + String(((number % 10000) + 10000) % 10000).padStart(4) + "    "
        + at + "  1.00  0.00" + " ".repeat(10) + plain(element, 2).toUpperCase().padStart(2);
    }).join("\n");
  }
}

// The best viewer that the browser can run, and whether that is less than the system deserves.
function makeViewer(run, host) {
  if (run.system.dims === 2) return { viewer: new Drawing(run, host), lacking: false };
  if (hasWebGL() && window.$3Dmol) {
    try {
      return { viewer: new Molecule(run, host), lacking: false };
    } catch {
      host.replaceChildren();
    }
  }
  return { viewer: new Drawing(run, host), lacking: true };
}
