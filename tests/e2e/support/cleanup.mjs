const stacks = new WeakMap();

// Does something when a test ends, last come first served: a server stops before its folder goes.
export function atEnd(t, action) {
  if (!stacks.has(t)) {
    const actions = [];
    stacks.set(t, actions);
    t.after(async () => {
      while (actions.length > 0) await actions.pop()();
    });
  }
  stacks.get(t).push(action);
}
