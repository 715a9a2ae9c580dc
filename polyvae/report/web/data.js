// The numbers of the run: unpacked from the JSON of the page, and looked up by frame.

function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes.buffer;
}

function columnOf(packed) {
  const steps = new Uint16Array(bytesOf(packed.values));
  const width = (packed.high - packed.low) / 65535;
  return Float64Array.from(steps, (step) => packed.low + width * step);
}

function surfaceOf(packed) {
  return {
    axes: packed.axes,
    edges: packed.edges,
    energy: new Int16Array(bytesOf(packed.energy)),
    error: new Int16Array(bytesOf(packed.error)),
    bad: new Uint8Array(bytesOf(packed.bad)),
    blocks: packed.blocks,
  };
}

function structuresOf(packed, size) {
  const positions = new Int16Array(bytesOf(packed.positions));
  const back = packed.reconstructed === null ? null : new Int16Array(bytesOf(packed.reconstructed));
  const one = (all, item) => Float64Array.from(all.subarray(item * size, (item + 1) * size), (v) => v * packed.scale);
  return {
    ...packed,
    positionsOf: (item) => one(positions, item),
    reconstructionOf: (item) => (back === null ? null : one(back, item)),
  };
}

// Everything that the figures draw. Coordinates are those of the latent, then the radius of gyration.
function readRun(raw) {
  const frames = new Uint32Array(bytesOf(raw.frames));
  const columns = raw.columns.map(columnOf);
  const widths = columns.map((values) => {
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
    return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length) || 1;
  });
  let times = null;
  if (raw.times !== null) {
    times = raw.times.values
      ? new Float64Array(bytesOf(raw.times.values))
      : Float64Array.from(frames, (frame) => raw.times.first + raw.times.step * frame);
  }
  // Times that start anew in every joined simulation would lay one over the other.
  const rising = times !== null && times.every((time, i) => i === 0 || time >= times[i - 1]);
  const size = raw.system.atoms.length * raw.system.dims;
  return {
    ...raw,
    raw,
    frames,
    columns,
    widths,
    times,
    clock: rising ? times : Float64Array.from(frames),
    clockName: rising ? "time" : "frame",
    clockUnit: rising ? raw.system.time_unit : "",
    surfaces: raw.surfaces.map(surfaceOf),
    structures: raw.structures.map((set) => structuresOf(set, size)),
    joins: new Set(raw.segments),
  };
}

// The embedded structure nearest to a frame in latent space, each coordinate by its own width.
function nearestStructure(run, point) {
  const set = run.structures.find((each) => each.name === "data");
  if (!set) return null;
  let best = 0;
  let least = Infinity;
  for (let item = 0; item < set.n; item++) {
    let square = 0;
    for (let d = 0; d < run.n_latent; d++) {
      square += ((set.latent[item][d] - run.columns[d][point]) / run.widths[d]) ** 2;
    }
    if (set.frames[item] === run.frames[point]) square = -1;
    if (square < least) [least, best] = [square, item];
  }
  return { item: best, exact: least < 0, distance: Math.sqrt(Math.max(0, least)) };
}

// The shown frame with the number nearest to a given one.
function pointOfFrame(run, frame) {
  let low = 0;
  let high = run.frames.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (run.frames[middle] < frame) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && frame - run.frames[low - 1] < run.frames[low] - frame) low -= 1;
  return low;
}

function words(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const text = Math.abs(value) >= 1e9 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(digits - 1) : String(Number(value.toPrecision(Math.max(digits, 1))));
  return text.replace("-", "−");
}

function counted(value) {
  return value < 10000 ? String(value) : String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

function withUnit(text, unit) {
  return unit ? `${text} ${unit}` : text;
}
