// Changes to what is on the page, made only where something is different: what is selected or has
// the focus stays so. Texts are set as texts, whatever is in them.

export function byId(id) {
  return document.getElementById(id);
}

export function clone(template) {
  return byId(template).content.firstElementChild.cloneNode(true);
}

export function setText(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function setAttribute(node, name, value) {
  const wanted = String(value);
  if (node.getAttribute(name) !== wanted) node.setAttribute(name, wanted);
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

// Have `parent` hold one node for each item, in their order: `make` makes it, `update` fills it.
export function list(parent, items, keyOf, make, update) {
  const known = parent.known ?? new Map();
  const next = new Map();
  for (const item of items) next.set(keyOf(item), item);
  for (const [key, node] of known) {
    if (!next.has(key)) node.remove();
  }
  const kept = new Map();
  let place = parent.firstElementChild;
  for (const [key, item] of next) {
    const node = known.get(key) ?? make(item);
    update(node, item);
    kept.set(key, node);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  parent.known = kept;
}
