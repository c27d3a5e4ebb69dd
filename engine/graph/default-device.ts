/** The device that is used when none is named. */
import { openDevice } from "../gpu/adapter.ts";
import type { Device } from "../gpu/device.ts";

let defaultDevice: Promise<Device> | undefined;

/** The device that is used when none is named; opened on first use. */
export function getDefaultDevice(): Promise<Device> {
  defaultDevice ??= openDevice();
  return defaultDevice;
}

/** Makes `device` the one that is used when none is named. */
export function setDefaultDevice(device: Device | undefined): void {
  defaultDevice = device && Promise.resolve(device);
}
