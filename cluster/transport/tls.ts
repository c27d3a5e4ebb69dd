/** Keys and certificates, read from files; and whose a certificate is. */
import { readFile } from "node:fs/promises";
import { createSecureContext, type PeerCertificate, type SecureContextOptions } from "node:tls";
import { ClusterError } from "../error.ts";

/** Paths of PEM files. */
export interface TlsFiles {
  readonly key: string;
  readonly cert: string;
  /** Who signs the peers' certificates. A listener with one asks every peer for its certificate. */
  readonly ca?: string;
}

/** Keys and certificates of a listener, who must have both, or of who dials, who need not. Errors: `tls_invalid`. */
export async function tlsOf(files: Partial<TlsFiles>): Promise<SecureContextOptions> {
  const { key, cert, ca } = files;
  const options = {
    ...(key !== undefined && { key: await pem("key", key) }),
    ...(cert !== undefined && { cert: await pem("cert", cert) }),
    ...(ca !== undefined && { ca: await pem("ca", ca) }),
    minVersion: "TLSv1.3" as const,
  };
  try {
    createSecureContext(options);
  } catch (error) {
    throw new ClusterError({
      code: "tls_invalid",
      what: "the files for TLS do not make an identity.",
      got: (error as NodeJS.ErrnoException).code ?? "unknown error",
      why: "they are a key, the certificate of that key, and those of who signs, all in PEM",
      fix: "check that each path is of the right file, and that the key is the certificate's",
    });
  }
  return options;
}

/** The nodes that a certificate is of: its DNS names, and the last parts of the paths of its URIs (SPIFFE). */
export function namesOf(certificate: Pick<PeerCertificate, "subjectaltname"> | null): string[] {
  // null for a socket that is gone; and a name with a comma in it is quoted, which no node id is
  return (certificate?.subjectaltname ?? "").split(", ").flatMap((entry) => {
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
