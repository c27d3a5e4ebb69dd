/** Certificates made by openssl, for a day. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TlsFiles } from "../../cluster/index.ts";

/** Whether there is an openssl. */
export const hasOpenssl: boolean = spawnSync("openssl", ["version"]).status === 0;

/** Keys, certificates and who signs them, in a folder that is gone with it. */
export class Certificates implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "forge-tls-"));

  at(name: string): string {
    return join(this.#folder, name);
  }

  /** What a node is given: its own, and who signs the others'. */
  filesOf(name: string, ca = "ca"): Required<TlsFiles> {
    return { key: this.at(`${name}.key`), cert: this.at(`${name}.crt`), ca: this.at(`${ca}.crt`) };
  }

  /** Makes one that signs. */
  authority(ca: string): void {
    openssl([
      "req",
      "-x509",
      ...this.#keyTo(ca),
      "-out",
      this.at(`${ca}.crt`),
      "-subj",
      `/CN=${ca}`,
    ]);
  }

  /** Makes a key and its certificate, which is of these names: `DNS:a,IP:127.0.0.1`. */
  sign(name: string, names: string, ca = "ca"): void {
    const request = this.at(`${name}.csr`);
    openssl(["req", ...this.#keyTo(name), "-out", request, "-subj", `/CN=${name}`]);
    writeFileSync(this.at(`${name}.ext`), `subjectAltName=${names}\n`);
    openssl([
      ...["x509", "-req", "-in", request, "-out", this.at(`${name}.crt`)],
      ...["-CA", this.at(`${ca}.crt`), "-CAkey", this.at(`${ca}.key`), "-CAcreateserial"],
      ...["-days", "1", "-extfile", this.at(`${name}.ext`)],
    ]);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #keyTo(name: string): string[] {
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    return [...curve, "-nodes", "-keyout", this.at(`${name}.key`)];
  }
}

function openssl(options: readonly string[]): void {
  execFileSync("openssl", options, { stdio: "pipe" });
}
