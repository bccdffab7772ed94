// Writes file.br and file.gz beside every file of a folder that gets at least a tenth smaller by it.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const worthwhile = /\.(js|mjs|css|html|json|svg|txt|map|wasm|ttf|ico)$/;
const folder = process.argv[2];
for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !worthwhile.test(entry.name)) continue;
  const path = join(entry.parentPath ?? entry.path, entry.name);
  const plain = readFileSync(path);
  const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length } };
  for (const [suffix, packed] of [[".br", brotliCompressSync(plain, brotli)], [".gz", gzipSync(plain, { level: 9 })]]) {
    if (packed.length < plain.length * 0.9) writeFileSync(path + suffix, packed);
  }
}
