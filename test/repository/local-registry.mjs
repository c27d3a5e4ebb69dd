/** A registry on the loopback that offers what is installed here: for `npm install` without a network. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename, dirname, join } from "node:path";
import { createGzip } from "node:zlib";

/**
 * Serves the packages of a project's node_modules, each in the version that lies there.
 *
 * @param {string} root of the project
 * @returns {Promise<{ url: string, close: () => void }>}
 */
export async function serveInstalled(root) {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "").slice(1);
    const isTarball = path.endsWith(".tgz");
    const name = path.replace(/\.tgz$/, "");
    const folder = join(root, "node_modules", name);
    if (!/^(@[\w.-]+\/)?[\w.-]+$/.test(name) || !existsSync(join(folder, "package.json")))
      response.writeHead(404).end("{}");
    else if (isTarball) pack(folder).pipe(response);
    else response.end(JSON.stringify(packument(folder, `http://${request.headers.host}`)));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}

/**
 * What a registry says of a package that it has one version of.
 *
 * @param {string} folder
 * @param {string} url
 * @returns {object}
 */
function packument(folder, url) {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const { name, version } = manifest;
  const dist = { tarball: `${url}/${name}.tgz` };
  return { name, "dist-tags": { latest: version }, versions: { [version]: { ...manifest, dist } } };
}

/**
 * A folder as a tarball. Of webgpu it has the binary of this platform alone: those of the others are a hundred megabytes.
 *
 * @param {string} folder
 * @returns {import("node:stream").Readable}
 */
function pack(folder) {
  const others = ["darwin", "linux", "win32"].filter((platform) => platform !== process.platform);
  const unused = others.map((platform) => `--exclude=dist/${platform}-*`);
  const args = [...unused, "-cf", "-", "-C", dirname(folder), basename(folder)];
  const tar = spawn("tar", args, { stdio: ["ignore", "pipe", "inherit"] });
  return tar.stdout.pipe(createGzip({ level: 1 }));
}
