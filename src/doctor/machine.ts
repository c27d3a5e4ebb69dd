/** What can be said of the machine without its GPU. */
import { release } from "node:os";
import { readRecords } from "../setup/setup.mjs";
import { type Check, FIX_BY_SETUP } from "./check.ts";

/** Node, the driver that the set-up found, the browser of the tests. */
export function machineChecks(): Check[] {
  return [checkNode(), checkVulkan(), checkChromium()];
}

function checkNode(): Check {
  const detail = `${process.version} on ${process.platform} ${process.arch}, ${release()}`;
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const isNewEnough = major > 20 || (major === 20 && minor >= 19);
  if (isNewEnough) return { name: "node", status: "ok", detail };
  return { name: "node", status: "fail", detail, fix: "install Node 20.19 or later" };
}

function checkVulkan(): Check {
  const { vulkan } = readRecords();
  if (vulkan === null) {
    const detail = "no adapter has been looked for since the drivers last changed";
    return { name: "driver", status: "warn", detail, fix: FIX_BY_SETUP };
  }
  const { description, vendor } = vulkan.adapter;
  return { name: "driver", status: "ok", detail: `${description || vendor} (${vulkan.source})` };
}

function checkChromium(): Check {
  const { chromium } = readRecords();
  const detail = chromium
    ? `${chromium.version} (${chromium.path})`
    : "none set up: only the browser tests need it";
  return { name: "browser", status: "ok", detail };
}
