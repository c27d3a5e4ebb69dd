/**
 * A WebGPU adapter for Node: finds the machine's own, and where there is none brings a software Vulkan driver.
 *
 * Order: what Dawn finds by itself (hardware first) · Mesa's lavapipe from the distribution, or from its backports ·
 * SwiftShader, which needs no root. The answer is kept in `vulkan.json`; `engine/gpu/dawn.ts` reads it when Dawn finds
 * nothing by itself.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir, release } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import {
  addBackports,
  aptInstall,
  aptUpdate,
  aptVersion,
  BACKPORTS_LIST,
  backports,
  elevation,
  hasApt,
  osRelease,
} from "./apt.mjs";
import { fingerprint, readRecord, writeRecord } from "./records.mjs";
import { run, SetUpError } from "./run.mjs";
import { bringSparticuz, sparticuzRunsHere, unpackedSwiftShader } from "./sparticuz.mjs";

/** @typedef {import("./setup.mjs").VulkanRecord} VulkanRecord */
/** @typedef {import("./setup.mjs").SetUpOptions} SetUpOptions */
/** @typedef {{ icd: string | null, loader: string | null, source: string }} Driver */

/** Mesa 22.3 has no adapter for Dawn (it lacks dynamic indexing of uniform arrays); 23 and later are tried. */
const OLDEST_MESA = 23;

const MANIFESTS = [
  "/etc/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
  "/usr/share/vulkan/icd.d",
  join(homedir(), ".local/share/vulkan/icd.d"),
];
const LIBRARIES = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
  "/usr/local/lib",
];

/**
 * The recorded driver, if nothing about the machine's drivers has changed since.
 *
 * @returns {VulkanRecord | null}
 */
export function knownVulkan() {
  /** @type {VulkanRecord | null} */
  const record = readRecord("vulkan");
  return record?.adapter && record.key === driversKey(record) ? record : null;
}

/**
 * Finds an adapter, or brings one, and records it.
 *
 * @param {Required<Pick<SetUpOptions, "say" | "user">>} options
 * @returns {VulkanRecord}
 * @throws {SetUpError} when there is none and none can be brought
 */
export function prepareVulkan({ say, user }) {
  const present = firstUsable([
    { icd: null, loader: null, source: "the machine's own driver" },
    ...lavapipes(),
  ]);
  if (present) return present;
  if (process.platform !== "linux") {
    throw new SetUpError(
      "WebGPU finds no adapter",
      "update the graphics driver; macOS needs Metal, Windows needs Direct3D 12",
    );
  }

  const as = user || !hasApt() ? null : elevation();
  if (as) {
    try {
      bringMesa(as, say);
      const own = { icd: null, loader: null, source: mesaSource() };
      const brought = firstUsable([own, ...lavapipes()]);
      if (brought) return brought;
      say("this Mesa gives no adapter; going on to SwiftShader");
    } catch (error) {
      if (!(error instanceof SetUpError)) throw error;
      say(`${error.message.split("\n").at(-1)}; going on to SwiftShader`);
    }
  }

  if (sparticuzRunsHere) {
    if (!unpackedSwiftShader()) bringSwiftShader(say);
    const swiftShader = unpackedSwiftShader();
    const brought = swiftShader && firstUsable([swiftShader]);
    if (brought) return brought;
  }
  throw new SetUpError("WebGPU finds no adapter, and none could be brought", installCommand());
}

/** @param {(line: string) => void} say */
function bringSwiftShader(say) {
  try {
    bringSparticuz("swiftshader", say);
  } catch (error) {
    if (!(error instanceof SetUpError)) throw error;
    throw new SetUpError(
      `WebGPU finds no adapter; ${error.message}`,
      `${installCommand()}\n(or: ${error.fix})`,
    );
  }
}

/**
 * Installs the Vulkan loader and Mesa's drivers.
 *
 * @param {readonly string[]} as
 * @param {(line: string) => void} say
 */
function bringMesa(as, say) {
  say("no WebGPU adapter: refreshing the package lists");
  aptUpdate(as);
  const { ID: distribution = "", VERSION_CODENAME: codename = "" } = osRelease();
  let mesa = "mesa-vulkan-drivers";
  const offered = aptVersion(mesa, "Candidate");
  const isTooOld = offered === null || Number.parseInt(offered, 10) < OLDEST_MESA;
  if (isTooOld && distribution === "debian" && addBackports(as, codename)) {
    aptUpdate(as);
    mesa = `${mesa}/${codename}-backports`;
  }
  say(`installing libvulkan1 ${mesa} (apt)`);
  aptInstall(as, ["libvulkan1", mesa]);
}

function mesaSource() {
  return `apt mesa ${aptVersion("mesa-vulkan-drivers", "Installed") ?? "of unknown version"}`;
}

/**
 * Mesa's lavapipe by its manifest, for an environment that names another driver which does not work.
 *
 * @returns {Driver[]}
 */
function lavapipes() {
  return manifests()
    .filter((file) => /\blvp_icd\b.*\.json$/.test(file))
    .map((icd) => ({ icd, loader: null, source: "Mesa lavapipe, by its manifest" }));
}

/**
 * Tries drivers in turn, and records the first that gives a device.
 *
 * @param {readonly Driver[]} drivers
 * @returns {VulkanRecord | null}
 */
function firstUsable(drivers) {
  for (const { icd, loader, source } of drivers) {
    const adapter = probeAdapter({ icd, loader });
    if (!adapter) continue;
    const record = { icd, loader, source, adapter };
    const whole = { ...record, key: driversKey(record) };
    writeRecord("vulkan", whole);
    return whole;
  }
  return null;
}

/**
 * Opens an adapter and a device in another process.
 *
 * @param {{ icd: string | null, loader: string | null }} driver
 * @returns {VulkanRecord["adapter"] | null}
 */
function probeAdapter({ icd, loader }) {
  const probe = fileURLToPath(new URL("./probe.mjs", import.meta.url));
  const done = run(process.execPath, [probe, JSON.stringify({ icd, loader })], {
    timeoutMs: 120_000,
  });
  return done.ok ? JSON.parse(done.stdout) : null;
}

/**
 * What the answer depends on: the drivers' files, the devices, and the environment that chooses among them.
 *
 * @param {Pick<VulkanRecord, "icd" | "loader">} record
 */
function driversKey({ icd, loader }) {
  const facts = [
    webgpuVersion(),
    release(),
    ["VK_ICD_FILENAMES", "VK_DRIVER_FILES", "LD_LIBRARY_PATH"].map(
      (name) => process.env[name] ?? "",
    ),
    list("/dev/dri"),
    existsSync("/dev/nvidiactl"),
  ];
  if (process.platform !== "linux") return fingerprint([], facts);
  const files = [
    ...LIBRARIES.map((folder) => join(folder, "libvulkan.so.1")),
    ...manifests().flatMap((file) => [file, ...driversOf(file)]),
    ...[icd, loader].filter((file) => file !== null),
  ];
  return fingerprint(files, facts);
}

/** @returns {string | null} null when the package is not installed */
function webgpuVersion() {
  try {
    const manifest = createRequire(import.meta.url).resolve("webgpu/package.json");
    return JSON.parse(readFileSync(manifest, "utf8")).version;
  } catch {
    return null;
  }
}

/** @returns {string[]} the manifests of the installed Vulkan drivers */
function manifests() {
  return MANIFESTS.flatMap((folder) => list(folder).map((name) => join(folder, name)));
}

/**
 * The places where a manifest's driver may lie.
 *
 * @param {string} manifest
 * @returns {string[]}
 */
function driversOf(manifest) {
  const library = /"library_path"\s*:\s*"([^"]+)"/.exec(readFileSync(manifest, "utf8"))?.[1];
  if (!library) return [];
  if (library.includes("/")) return [resolve(dirname(manifest), library)];
  return LIBRARIES.map((folder) => join(folder, library)).filter((file) => existsSync(file));
}

/**
 * @param {string} folder
 * @returns {string[]} its entries, none when it does not exist
 */
function list(folder) {
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

/** The command with which a person installs a driver on this system. */
function installCommand() {
  const {
    ID: distribution = "",
    ID_LIKE: like = "",
    VERSION_CODENAME: codename = "",
  } = osRelease();
  if (codename === "bookworm") {
    const found = backports(codename);
    const add =
      typeof found === "object" && found
        ? [`echo '${found.line}' | sudo tee ${BACKPORTS_LIST}`]
        : [];
    const install = "sudo apt-get install libvulkan1 mesa-vulkan-drivers/bookworm-backports";
    return [...add, "sudo apt-get update", install].join(" && ");
  }
  const family = `${distribution} ${like}`;
  if (/debian|ubuntu/.test(family)) return "sudo apt-get install libvulkan1 mesa-vulkan-drivers";
  if (/fedora|rhel/.test(family)) return "sudo dnf install vulkan-loader mesa-vulkan-drivers";
  if (/arch/.test(family)) return "sudo pacman -S vulkan-icd-loader vulkan-swrast";
  if (/suse/.test(family)) return "sudo zypper install libvulkan1 libvulkan_lvp";
  return "install a Vulkan loader and driver with your system's package manager";
}
