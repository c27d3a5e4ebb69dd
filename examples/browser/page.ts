/** The page: finds out whether there is a GPU, and lets the demos begin. */
import { CartPoleView } from "./cart-pole/view.ts";
import { part } from "./elements.ts";
import { showNotice } from "./notice.ts";
import { Panel } from "./panel.ts";
import { webGpuHere } from "./support.ts";

async function main(): Promise<void> {
  const panels = [
    new Panel(
      part(document, "cart-pole", HTMLElement),
      "cart-pole",
      (panel) => new CartPoleView(panel),
    ),
  ];
  const found = await webGpuHere();
  if ("obstacle" in found) {
    showNotice(part(document, "obstacle", HTMLElement), found.obstacle);
    return;
  }
  part(document, "adapter", HTMLElement).textContent = `Your GPU: ${found.adapter}`;
  for (const panel of panels) panel.allow();
}

void main();
