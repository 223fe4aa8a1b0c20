/* The file of chapter 19, decoded: what reference_impl/coding does to read it, in JavaScript.
   Its numbers hold integers up to 2^53 exactly; its bitwise operators keep 32 bits only. */
const QUARTERS = [1, 1.1892071, 1.4142135, 1.6817929].map(Math.fround);

/** The arithmetic decoder: bytes in, bits out; zeros follow the last byte. */
class Decoder {
  constructor(bytes, at) {
    Object.assign(this, { bytes, at, number: 0, width: 1 });
    for (let i = 0; i < 4; i++) this.grow();
  }
  grow() {
    this.number = this.number * 256 + (this.bytes[this.at++] ?? 0);
    this.width *= 256;
  }
  /** The next bit. How many zeros and ones this question has had so far says what to expect. */
  bit(counts) {
    const [zeros, ones] = counts;
    const ofZero = Math.floor((2 ** 16 * (2 * zeros + 1)) / (2 * (zeros + ones) + 2));
    const split = Math.floor((this.width * ofZero) / 2 ** 16);
    const bit = Number(this.number >= split);
    this.number -= bit * split;
    this.width = bit ? this.width - split : split;
    counts[bit] += 1;
    if (zeros + ones === 1023) counts.forEach((n, i) => (counts[i] = n >> 1));
    while (this.width < 2 ** 24) this.grow();
    return bit;
  }
  /** Where in the bytes the bits so far end: a fraction, since no symbol ends at a byte. */
  position = () => this.at - Math.log2(this.width) / 8;
}

/** Integers: zero? negative? how many binary digits? which? Each question learns its answers. */
class Integers {
  seen = {};
  ask = (decoder, ...question) => decoder.bit((this.seen[question] ??= [0, 0]));
  read(decoder, kind = 0) {
    if (!this.ask(decoder, 0, kind)) return 0;
    const negative = this.ask(decoder, 1);
    let [length, digits] = [1, 1];
    while (this.ask(decoder, 2, length))
      if (++length > 24) throw Error("an integer has more than 24 binary digits");
    for (let left = length - 1; left > 0; left--)
      digits = digits * 2 + this.ask(decoder, 3, length, digits);
    return negative ? -digits : digits;
  }
}

/** Places where row and column let expect about the same share of numbers that are not zero. */
function densityClass(inRow, before, inColumn, above) {
  const share = ((2 * inRow + 1) * (2 * inColumn + 1) * 2 ** 14) / ((before + 1) * (above + 1));
  return 32 - Math.clz32(Math.floor(share) ** 2); // below 2^32
}

/** The integers of a table, one array a row; empty rows and columns take one bit each. */
function readIntegers(decoder, rows, columns, byDensity) {
  const flagged = (n, counts) => [...Array(n).keys()].filter(() => decoder.bit(counts));
  const table = Array.from({ length: rows }, () => Array(columns).fill(0));
  const [filled, places] = [flagged(rows, [0, 0]), flagged(columns, [0, 0])];
  const [integers, inColumn] = [new Integers(), places.map(() => 0)];
  filled.forEach((row, i) => {
    let inRow = 0;
    places.forEach((column, j) => {
      const kind = byDensity ? densityClass(inRow, j, inColumn[j], i) : 0;
      table[row][column] = integers.read(decoder, kind);
      inRow += table[row][column] !== 0;
      inColumn[j] += table[row][column] !== 0;
    });
  });
  return table;
}

/** Tables of weights, integers times a step 2^(e/4): a row that is not zero has an exponent e. */
function readTables(decoder, shapes) {
  const [byDensity, first, differences] = [[0, 0], new Integers(), new Integers()];
  return shapes.map(({ rows, columns, label }) => {
    const integers = readIntegers(decoder, rows, columns, decoder.bit(byDensity));
    let base;
    const values = integers.flatMap((row) => {
      if (!row.some(Boolean)) return row;
      const e = base === undefined ? first.read(decoder) : base + differences.read(decoder);
      base ??= e;
      if (Math.abs(e + 50) > 450) throw Error(`an exponent is outside [-500, 400]: ${e}`);
      const step = QUARTERS[((e % 4) + 4) % 4] * 2 ** Math.floor(e / 4);
      return row.map((integer) => Math.fround(Math.fround(integer) * step));
    });
    return { label, integers, values, end: decoder.position() };
  });
}

/** CRC-32, as in zip and PNG files. */
function checksum(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** Where the body of a file ends; an Error if the file is not whole, or not of a kind that is read. */
function checkedEnd(bytes) {
  const refuse = (why) => { throw Error(why); };
  const end = bytes.length - 4;
  if (bytes[0] !== 77 || bytes[1] !== 67) refuse("the file does not begin with the letters MC");
  if (end < 4) refuse(`a file has at least 8 bytes, this one has ${bytes.length}`);
  const stored = bytes.slice(end).reduceRight((sum, byte) => 256 * sum + byte, 0);
  if (stored !== checksum(bytes.subarray(0, end))) refuse("wrong checksum: damaged or cut off");
  if (bytes[2] !== 1) refuse(`the file has version ${bytes[2]}, this page reads version 1`);
  if (bytes[3] !== 1) refuse(`the tensors are written in way ${bytes[3]}, this page reads way 1`);
  return end;
}
