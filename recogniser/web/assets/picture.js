// The picture: waveform, spectrogram and probabilities under one axis of time.

import { BANDS } from "/spectrum.js";

const GAP = 8;
const RAMPS = {
  // from quiet to loud
  light: [[255, 255, 255], [176, 208, 232], [66, 120, 180], [60, 30, 110], [20, 5, 30]],
  dark: [[23, 27, 33], [66, 30, 110], [170, 50, 110], [240, 120, 60], [255, 235, 170]],
};

function ramp(scheme) {
  const stops = RAMPS[scheme];
  return Array.from({ length: 256 }, (_, n) => {
    const place = (n / 255) * (stops.length - 1);
    const at = Math.min(stops.length - 2, Math.floor(place));
    return stops[at].map((value, k) => Math.round(value + (place - at) * (stops[at + 1][k] - value)));
  });
}

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.strip = document.createElement("canvas");
    this.dark = matchMedia("(prefers-color-scheme: dark)");
  }

  // Draw what was heard between two moments: columns of sound, rectangles of probabilities, segments.
  draw({ columns, classes, pieces, segments, start, end }) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const inner = height - 46 - 3 * GAP;
    const x = (seconds) => ((seconds - start) / (end - start)) * width;
    const parts = [0.22, 0.42, 0.36].map((share) => share * inner);
    const tops = [0, parts[0] + GAP, parts[0] + parts[1] + 2 * GAP];
    const view = { context, width, x, colour, start, end };
    this.waveform(view, columns, tops[0], parts[0]);
    this.spectrogram(view, columns, tops[1], parts[1]);
    this.probabilities(view, classes, pieces, tops[2], parts[2]);
    this.spans(view, classes, segments, tops[2] + parts[2] + 4);
    this.axis(view, height - 6);
  }

  waveform(view, columns, top, height) {
    const { context, width, colour } = view;
    const middle = top + height / 2;
    context.fillStyle = colour("line");
    context.fillRect(0, middle, width, 1);
    if (!columns) return;
    let loudest = 0.05;
    this.shown(columns, view, (n) => (loudest = Math.max(loudest, columns.high[n], -columns.low[n])));
    context.fillStyle = colour("accent");
    this.shown(columns, view, (n, left, wide) => {
      const [high, low] = [columns.high[n] / loudest, columns.low[n] / loudest];
      context.fillRect(left, middle - (high * height) / 2, wide, Math.max(1, ((high - low) * height) / 2));
    });
  }

  spectrogram(view, columns, top, height) {
    const { context, width, x, colour } = view;
    context.strokeStyle = colour("line");
    context.strokeRect(0.5, top + 0.5, width - 1, height - 1);
    if (!columns?.length) return;
    const colours = ramp(this.dark.matches ? "dark" : "light");
    const seen = [];
    this.shown(columns, view, (n) => seen.push(n));
    if (!seen.length) return;
    this.strip.width = seen.length;
    this.strip.height = BANDS;
    const own = this.strip.getContext("2d");
    const image = own.createImageData(seen.length, BANDS);
    seen.forEach((n, place) => {
      columns.bands[n].forEach((value, band) => {
        const at = 4 * ((BANDS - 1 - band) * seen.length + place);
        image.data.set(colours[value], at);
        image.data[at + 3] = 255;
      });
    });
    own.putImageData(image, 0, 0);
    const left = x(seen[0] * columns.seconds);
    const right = x((seen.at(-1) + 1) * columns.seconds);
    context.drawImage(this.strip, left, top, right - left, height);
    context.strokeRect(0.5, top + 0.5, width - 1, height - 1);
    context.fillStyle = colour("muted");
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "left";
    context.fillText("8 kHz", 5, top + 14);
  }

  shown(columns, { x, start, end }, each) {
    const wide = Math.max(1, x(columns.seconds) - x(0));
    const last = Math.min(columns.length, Math.ceil(end / columns.seconds));
    for (let n = Math.max(0, Math.floor(start / columns.seconds)); n < last; n++) each(n, x(n * columns.seconds), wide);
  }

  probabilities({ context, width, x, colour }, classes, pieces, top, height) {
    context.strokeStyle = colour("line");
    context.strokeRect(0.5, top + 0.5, width - 1, height - 1);
    for (const piece of pieces) {
      const [left, right] = [Math.round(x(piece.start)), Math.round(x(piece.end))]; // or seams show
      if (right < 0 || left > width) continue;
      let bottom = top + height;
      classes.forEach((name, n) => {
        const high = (piece.probabilities[name] ?? 0) * height;
        context.fillStyle = colour(`class-${(n % 8) + 1}`);
        context.fillRect(left, bottom - high, Math.max(1, right - left), high);
        bottom -= high;
      });
    }
  }

  spans({ context, width, x, colour }, classes, segments, top) {
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "center";
    for (const own of segments) {
      const [left, right] = [x(own.start), x(own.end)];
      if (right < 0 || left > width) continue;
      context.fillStyle = own.emotion ? colour(`class-${(classes.indexOf(own.emotion) % 8) + 1}`) : colour("muted");
      context.fillRect(left, top, Math.max(2, right - left - 1), 4);
      const said = own.emotion ?? "unsure";
      context.fillStyle = colour("ink");
      const [from, to] = [Math.max(0, left), Math.min(width, right)];
      if (context.measureText(said).width < to - from) context.fillText(said, (from + to) / 2, top + 17);
    }
  }

  axis({ context, width, x, colour, start, end }, bottom) {
    const steps = [1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600];
    const step = steps.find((each) => (end - start) / each <= width / 60) ?? 3600;
    context.fillStyle = colour("muted");
    context.font = "11px system-ui, sans-serif";
    for (let at = Math.ceil(start / step) * step; at <= end; at += step) {
      const place = x(at);
      context.textAlign = place < 20 ? "left" : place > width - 20 ? "right" : "center";
      context.fillText(step < 60 ? `${at} s` : `${at / 60} min`, place, bottom);
      context.fillRect(place, bottom - 18, 1, 5);
    }
  }
}
