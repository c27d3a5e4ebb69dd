"""Trajectories of Gymnasium's CartPole-v1, for test/unit/control/cart-pole.test.ts.

    python3 -m venv venv && venv/bin/pip install gymnasium==1.4.0 && venv/bin/python make.py

Each starts from a state that is written down and takes actions of a fixed rule, so that no generator of random numbers has to
agree. States are f64 as `repr` prints them: exact.
"""

import json
from pathlib import Path

import gymnasium
import numpy as np

RULES = {
    # a pole that falls to each side, one that is balanced up to the limit, and a cart that runs off
    "left": lambda t, s: 0,
    "right": lambda t, s: 1,
    "alternate": lambda t, s: t % 2,
    "balance": lambda t, s: int(s[2] + 0.5 * s[3] + 0.05 * s[0] + 0.1 * s[1] > 0),
    "chase": lambda t, s: int(s[2] + 0.3 * s[3] > 0.1),
}
STARTS = [[0.01, -0.02, 0.03, 0.04], [-0.05, 0.05, -0.049, 0.0], [0.0, 0.0, 0.0, 0.0]]


def trajectory(rule, start):
    env = gymnasium.make("CartPole-v1")
    env.reset(seed=0)
    env.unwrapped.state = np.array(start, dtype=np.float64)
    actions, kept, rewards, t = [], [], 0.0, 0
    while True:
        action = RULES[rule](t, env.unwrapped.state)
        _, reward, terminated, truncated, _ = env.step(action)
        actions.append(action)
        rewards += reward
        t += 1
        if t <= 3 or t % 50 == 0 or terminated or truncated:
            kept.append([t, *map(float, env.unwrapped.state)])
        if terminated or truncated:
            break
    return {
        "rule": rule,
        "start": start,
        "actions": "".join(map(str, actions)),
        "states": kept,
        "return": rewards,
        "terminated": bool(terminated),
        "truncated": bool(truncated),
    }


golden = {
    "source": f"gymnasium {gymnasium.__version__}, CartPole-v1; made by make.py",
    "columns": ["step", "position", "velocity", "angle", "angularVelocity"],
    "trajectories": [trajectory(rule, start) for rule in RULES for start in STARTS],
}
path = Path(__file__).parent / "cart-pole.json"
path.write_text(json.dumps(golden) + "\n")
for t in golden["trajectories"]:
    print(t["rule"], t["return"], t["terminated"], t["truncated"])
