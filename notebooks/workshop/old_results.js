// Show the note above the results of a check when its kernel restarts or ends, or if the notebook has another kernel now.
// The kernel can't do that: JupyterLab drops what a kernel sends while it ends.
for (const note of document.querySelectorAll("[data-workshop-kernel]")) {
  const panels = [...(window.jupyterapp?.shell.widgets("main") ?? [])];
  const context = panels.find((panel) => panel.node.contains(note))?.sessionContext;
  if (!context || note.dataset.watched) continue;
  note.dataset.watched = "yes";
  const compare = () => {
    const kernel = context.session?.kernel;
    const ended = !kernel || ["restarting", "autorestarting", "terminating", "dead"].includes(kernel.status);
    if (ended || kernel.id !== note.dataset.workshopKernel) note.hidden = false;
  };
  for (const signal of [context.statusChanged, context.kernelChanged, context.sessionChanged]) signal?.connect(compare);
  context.ready.then(compare);
}
