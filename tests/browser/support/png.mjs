// Plain PNG files for the tests: 8-bit RGB pixels in, pixels out.
import { deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");

/** Writes pixels; `at(x, y)` gives [r, g, b]. */
export function encode(width, height, at) {
  const rows = Buffer.alloc(height * (1 + width * 3));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows.set(at(x, y), y * (1 + width * 3) + 1 + x * 3);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([SIGNATURE, chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

/** Reads an 8-bit RGB file without interlacing. */
export function decode(file) {
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  if (file[24] !== 8 || file[25] !== 2 || file[28] !== 0) throw new Error("not plain 8-bit RGB");
  const parts = [];
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    if (file.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(file.subarray(at + 8, at + 8 + file.readUInt32BE(at)));
  }
  return { width, height, rgb: unfilter(inflateSync(Buffer.concat(parts)), width * 3, height) };
}

function unfilter(rows, stride, height) {
  const rgb = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const kind = rows[y * (stride + 1)];
    for (let i = 0; i < stride; i++) {
      const left = i < 3 ? 0 : rgb[y * stride + i - 3];
      const up = y === 0 ? 0 : rgb[(y - 1) * stride + i];
      const corner = i < 3 || y === 0 ? 0 : rgb[(y - 1) * stride + i - 3];
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][kind];
      rgb[y * stride + i] = rows[y * (stride + 1) + 1 + i] + guess;
    }
  }
  return rgb;
}

function paeth(left, up, corner) {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

function chunk(kind, data) {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc(body), body.length + 4);
  return out;
}

function crc(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}
