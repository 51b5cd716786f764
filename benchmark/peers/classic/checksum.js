'use strict';
// How the classic module detects changes: a 16-bit checksum (CRC-16/CCITT) over the JSON text of the whole session.

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc;
});

// functions are left out, because they are not stored
const storable = (key, value) => (typeof value === 'function' ? undefined : value);

function checksum(value) {
  const text = JSON.stringify(value, storable);
  let crc = 0xffff;
  for (let i = 0; i < text.length; i++) crc = ((crc << 8) ^ TABLE[(crc >> 8) ^ (text.charCodeAt(i) & 0xff)]) & 0xffff;
  return crc;
}

module.exports = checksum;
