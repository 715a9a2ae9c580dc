// The parts of the page, linked: whatever selects a frame shows it in the map, in time and as a structure.

function describe(run, point) {
  const lines = [["frame", counted(run.frames[point])]];
  if (run.times) lines.push(["time", withUnit(words(run.times[point], 6), run.system.time_unit)]);
  run.names.forEach((name, axis) => lines.push([name, withUnit(words(run.columns[axis][point]), run.units[axis])]));
  return lines;
}

const TITLES = { data: "Frames of the data", generated: "Generated", compact: "Most compact" };

class Page {
  constructor(run) {
    const get = (id) => document.getElementById(id);
    this.run = run;
    this.parts = { readout: get("readout"), note: get("structure-note"), frame: get("frame"), stage: get("stage") };
    this.item = { generated: 0, compact: 0 };
    this.set = "data";
    this.point = 0;
    const choose = (point) => this.select(point);
    this.map = new LatentMap(run, get("map"), {
      x: get("map-x"), y: get("map-y"), color: get("map-color"), tip: get("map-tip"),
    }, choose);
    this.line = new Timeline(run, get("time"), {
      y: get("time-y"), closer: get("time-closer"), whole: get("time-whole"),
    }, choose);
    this.parts.frame.max = run.n_frames - 1;
    this.parts.frame.addEventListener("change", () => {
      const frame = Number(this.parts.frame.value);
      if (Number.isFinite(frame)) this.select(pointOfFrame(run, frame));
    });
    get("previous").addEventListener("click", () => this.step(-1));
    get("next").addEventListener("click", () => this.step(1));
    if (run.structures.length) this.makeViewer(get);
    else get("structures").hidden = true;
    const repaint = () => this.redraw();
    new ResizeObserver(repaint).observe(get("map"));
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    this.redraw();
    this.select(this.lowest());
  }

  makeViewer(get) {
    const { viewer, lacking } = makeViewer(this.run, this.parts.stage);
    this.viewer = viewer;
    get("no-webgl").hidden = !lacking;
    if (lacking) document.documentElement.classList.add("no-webgl");
    this.extent = Math.max(...this.run.structures.map((set) => set.scale * 32767));
    this.makePreview();
    this.back = get("show-reconstruction");
    this.back.addEventListener("change", () => this.show());
    const holder = get("structure-sets");
    for (const set of this.run.structures) {
      const label = document.createElement("label");
      const radio = Object.assign(document.createElement("input"), {
        type: "radio", name: "structure-set", value: set.name, checked: set.name === "data",
      });
      radio.addEventListener("change", () => this.choose(set.name));
      label.append(radio, ` ${TITLES[set.name] || set.name}`);
      holder.append(label);
    }
    const moves = {
      "turn-left": () => viewer.turn(-15, 0), "turn-right": () => viewer.turn(15, 0),
      "turn-up": () => viewer.turn(0, -15), "turn-down": () => viewer.turn(0, 15),
      closer: () => viewer.zoom(1.25), farther: () => viewer.zoom(0.8), "reset-view": () => viewer.reset(),
    };
    for (const [id, move] of Object.entries(moves)) get(id).addEventListener("click", move);
    if (this.run.system.dims === 2) for (const id of ["turn-up", "turn-down"]) get(id).hidden = true;
  }

  // A small picture of the structure under the pointer. One drawing is moved in and out of the tip: no context is made
  // anew while the pointer moves.
  makePreview() {
    const set = this.run.structures.find((each) => each.name === "data");
    if (!set) return;
    const [holder, host, words] = ["figure", "div", "figcaption"].map((name) => document.createElement(name));
    holder.className = "preview";
    holder.append(host, words);
    const drawing = new Drawing(this.run, host);
    this.map.preview = (point, tip) => {
      const { item, exact } = nearestStructure(this.run, point);
      words.textContent = exact ? "its structure" : `nearest structure here: frame ${counted(set.frames[item])}`;
      tip.append(holder);
      drawing.show(set.positionsOf(item), null, this.extent);
    };
  }

  // The shown frame nearest to the deepest cell of the first surface, of those whose structure is in the page where there
  // are any: where to begin.
  lowest() {
    const [surface] = this.run.surfaces;
    if (!surface) return 0;
    const cell = surface.energy.indexOf(0);
    const inner = surface.edges.length > 1 ? surface.edges[1][2] : 1;
    const at = [Math.floor(cell / inner), cell % inner];
    let [best, least] = [0, Infinity];
    const held = new Set(this.run.structures.filter((set) => set.name === "data").flatMap((set) => set.frames));
    const some = this.run.frames.some((frame) => held.has(frame));
    for (let i = 0; i < this.run.frames.length; i++) {
      if (some && !held.has(this.run.frames[i])) continue;
      let square = 0;
      surface.axes.forEach((axis, k) => {
        const [low, high, n] = surface.edges[k];
        const middle = low + ((high - low) * (at[k] + 0.5)) / n;
        square += ((this.run.columns[axis][i] - middle) / this.run.widths[axis]) ** 2;
      });
      if (square < least) [least, best] = [square, i];
    }
    return best;
  }

  select(point) {
    this.point = point;
    this.map.point = point;
    this.line.point = point;
    this.parts.frame.value = this.run.frames[point];
    if (this.set !== "data" && this.viewer) {
      document.querySelector('input[name="structure-set"][value="data"]').checked = true;
      this.set = "data";
    }
    this.show();
  }

  choose(name) {
    this.set = name;
    this.show();
  }

  step(by) {
    const set = this.run.structures.find((each) => each.name === this.set);
    if (this.set === "data") {
      const last = this.run.frames.length - 1;
      this.select(Math.min(Math.max(this.point + by, 0), last));
      return;
    }
    this.item[this.set] = (this.item[this.set] + by + set.n) % set.n;
    this.show();
  }

  show() {
    const { run } = this;
    let lines = describe(run, this.point);
    let note = "";
    this.map.other = null;
    const set = run.structures.find((each) => each.name === this.set);
    if (this.viewer && set) {
      let item = this.item[this.set];
      if (this.set === "data") {
        const near = nearestStructure(run, this.point);
        item = near.item;
        note = near.exact ? `Structure of frame ${counted(set.frames[item])} itself.`
          : `Structure of frame ${counted(set.frames[item])}, the nearest in latent space of the ${set.n} that this `
            + `page holds (${words(near.distance, 2)} standard deviations away); its radius of gyration is `
            + `${withUnit(words(set.gyration[item]), run.system.length_unit)}.`;
        if (this.back.checked) {
          note += ` Reconstruction: ${withUnit(words(set.rmsd[item]), run.system.length_unit)} RMSD.`;
        }
      } else {
        lines = [["structure", `${item + 1} of ${set.n}`]];
        run.names.forEach((name, axis) => {
          const value = axis < run.n_latent ? set.latent[item][axis] : set.gyration[item];
          lines.push([name, withUnit(words(value), run.units[axis])]);
        });
        note = this.set === "generated" ? "A draw from the model, noise included; the square marks where the encoder puts it."
          : "A valid result of the search for compact structures, best first; the square marks its place.";
        this.map.other = { latent: set.latent[item], gyration: set.gyration[item] };
      }
      const isData = this.set === "data";
      this.back.disabled = !isData;
      this.viewer.show(
        set.positionsOf(item), isData && this.back.checked ? set.reconstructionOf(item) : null, this.extent,
      );
      this.parts.stage.setAttribute("aria-label", `Structure, ${TITLES[this.set]}: ${note}`);
      this.shown = { set: this.set, item, frame: set.frames ? set.frames[item] : null };
    }
    const rows = lines.map(([name, value]) => {
      const row = document.createElement("div");
      const term = document.createElement("dt");
      const detail = document.createElement("dd");
      term.textContent = name;
      detail.textContent = value;
      row.append(term, detail);
      return row;
    });
    this.parts.readout.replaceChildren(...rows);
    this.parts.note.textContent = note;
    this.map.mark();
    this.line.mark();
  }

  redraw() {
    this.map.redraw();
    this.line.redraw();
    if (!this.viewer) return;
    if (this.viewer.repaint) this.viewer.repaint();
    else if (this.viewer.shown) this.viewer.show(...this.viewer.shown);
  }
}

document.documentElement.classList.add("interactive");
window.polyvaeReport = new Page(readRun(JSON.parse(document.getElementById("run-data").textContent)));
