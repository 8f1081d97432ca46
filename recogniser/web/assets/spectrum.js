// Sound in columns of a picture: the lowest and highest sample of each, and how loud each band of frequencies is.

export const BANDS = 96;
const HIGHEST = 8000; // Hz
const [QUIET, LOUD] = [-95, -25]; // dB of full scale

// The real FFT of a size, a power of two: returns the function from samples to the powers of the lower half.
function fourier(size) {
  const window = Float32Array.from({ length: size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / size));
  const bits = Math.log2(size);
  const order = Uint32Array.from({ length: size }, (_, n) => {
    let reversed = 0;
    for (let bit = 0; bit < bits; bit++) reversed |= ((n >> bit) & 1) << (bits - 1 - bit);
    return reversed;
  });
  const [real, imaginary] = [new Float32Array(size), new Float32Array(size)];
  return (samples, from) => {
    for (let n = 0; n < size; n++) {
      real[n] = (samples[from + order[n]] ?? 0) * window[order[n]];
      imaginary[n] = 0;
    }
    for (let half = 1; half < size; half *= 2) {
      for (let k = 0; k < half; k++) {
        const [c, s] = [Math.cos((Math.PI * k) / half), -Math.sin((Math.PI * k) / half)];
        for (let n = k; n < size; n += 2 * half) {
          const m = n + half;
          const [r, i] = [real[m] * c - imaginary[m] * s, real[m] * s + imaginary[m] * c];
          [real[m], imaginary[m]] = [real[n] - r, imaginary[n] - i];
          real[n] += r;
          imaginary[n] += i;
        }
      }
    }
    return real.subarray(0, size / 2).map((value, n) => (value * value + imaginary[n] * imaginary[n]) * (16 / size / size));
  };
}

// Columns of sound at a rate, so many seconds each.
export class Columns {
  constructor(rate, seconds) {
    Object.assign(this, { rate, length: 0, low: [], high: [], bands: [] });
    this.step = Math.max(1, Math.round(rate * seconds));
    this.seconds = this.step / rate;
    this.size = 2 ** Math.round(Math.log2(rate * 0.03));
    this.powers = fourier(this.size);
    this.rest = new Float32Array(0);
  }

  add(samples) {
    const all = new Float32Array(this.rest.length + samples.length);
    all.set(this.rest);
    all.set(samples, this.rest.length);
    let at = 0;
    const needed = Math.max(this.step, this.size);
    for (; at + needed <= all.length; at += this.step) this.column(all, at);
    this.rest = all.slice(at);
  }

  column(all, at) {
    let [low, high] = [0, 0];
    for (let n = at; n < at + this.step; n++) {
      low = Math.min(low, all[n]);
      high = Math.max(high, all[n]);
    }
    const powers = this.powers(all, at);
    const perBand = (HIGHEST / BANDS / this.rate) * this.size;
    const bands = new Uint8ClampedArray(BANDS);
    for (let band = 0; band < BANDS; band++) {
      let most = 0;
      const end = Math.max(Math.floor(band * perBand) + 1, Math.floor((band + 1) * perBand));
      for (let n = Math.floor(band * perBand); n < end; n++) most = Math.max(most, powers[n] ?? 0);
      bands[band] = (255 * (10 * Math.log10(most + 1e-12) - QUIET)) / (LOUD - QUIET);
    }
    this.low.push(low);
    this.high.push(high);
    this.bands.push(bands);
    this.length++;
  }
}
