/** Keys and certificates, read from files; and whose a certificate is. */
import { readFile } from "node:fs/promises";
import type { PeerCertificate, SecureContextOptions } from "node:tls";
import { ClusterError } from "../error.ts";

/** Paths of PEM files. */
export interface TlsFiles {
  readonly key: string;
  readonly cert: string;
  /** Who signs the peers' certificates. A listener with one asks every peer for its certificate. */
  readonly ca?: string;
}

/** TLS of the transport, but for what differs between its ends. Errors: `tls_invalid`. */
export async function tlsOf(files: TlsFiles): Promise<SecureContextOptions> {
  const { key, cert, ca } = files;
  return {
    key: await pem("key", key),
    cert: await pem("cert", cert),
    ...(ca !== undefined && { ca: await pem("ca", ca) }),
    minVersion: "TLSv1.3",
  };
}

/** As {@link tlsOf} for who dials, who may have no certificate of its own. */
export async function dialTlsOf(files: Partial<TlsFiles>): Promise<SecureContextOptions> {
  const { key, cert, ca } = files;
  return {
    ...(key !== undefined && { key: await pem("key", key) }),
    ...(cert !== undefined && { cert: await pem("cert", cert) }),
    ...(ca !== undefined && { ca: await pem("ca", ca) }),
    minVersion: "TLSv1.3",
  };
}

/** The nodes that a certificate is of: its DNS names, and the last parts of the paths of its URIs (SPIFFE). */
export function namesOf(certificate: Pick<PeerCertificate, "subjectaltname">): string[] {
  // quoted when there is a comma in it, which no node id has
  return (certificate.subjectaltname ?? "").split(", ").flatMap((entry) => {
    if (entry.startsWith("DNS:")) return [entry.slice(4)];
    const [, last] = /^URI:[a-z]+:\/\/.*\/([A-Za-z0-9._-]+)$/.exec(entry) ?? [];
    return last === undefined ? [] : [last];
  });
}

async function pem(name: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new ClusterError({
      code: "tls_invalid",
      what: `the TLS ${name} cannot be read.`,
      got: `${path}: ${(cause as NodeJS.ErrnoException).code ?? "unknown error"}`,
      fix: "check the path and who owns the file",
    });
  }
}
