/** The page: finds out whether there is a GPU, and lets the demos begin. */
import { CalculatorView } from "./calculator/view.ts";
import { CartPoleView } from "./cart-pole/view.ts";
import { part } from "./elements.ts";
import { showNotice } from "./notice.ts";
import { Panel } from "./panel.ts";
import { webGpuHere } from "./support.ts";

async function main(): Promise<void> {
  const cartPole = part(document, "cart-pole", HTMLElement);
  const calculator = part(document, "calculator", HTMLElement);
  const panels = [
    new Panel(cartPole, "cart-pole", (panel) => new CartPoleView(panel)),
    new Panel(calculator, "calculator", (panel) => new CalculatorView(panel)),
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
