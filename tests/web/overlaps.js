// Texts that are drawn upon each other: every text's boxes as far as they can be seen, compared in pairs.
() => {
  const ancestors = function* (each) {
    for (; each; each = each.parentElement) yield each;
  };
  const seen = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const around = node.parentElement;
    if (!node.textContent.trim() || around.closest(".unseen, title, desc, script, option, .jump") || !around.checkVisibility()) continue;
    const stays = [...ancestors(around)].some((each) => getComputedStyle(each).position === "sticky");
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) {
      let [left, top, right, bottom] = [rect.left, rect.top, rect.right, rect.bottom];
      for (let box = around; box && box !== document.documentElement; box = box.parentElement) {
        if (getComputedStyle(box).overflowX === "visible" || box instanceof SVGElement) continue;
        const edge = box.getBoundingClientRect();
        left = Math.max(left, edge.left);
        right = Math.min(right, edge.right);
        top = Math.max(top, edge.top);
        bottom = Math.min(bottom, edge.bottom);
      }
      if (right - left > 1 && bottom - top > 1) seen.push({ node, stays, left, top, right, bottom });
    }
  }
  const found = [];
  for (const [place, one] of seen.entries()) {
    for (const other of seen.slice(place + 1)) {
      // What slides below a heading that stays is covered by it.
      if (one.node === other.node || one.stays !== other.stays) continue;
      const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      // Lines of text may touch: a letter's box is higher than the letter.
      if (across > 1.5 && down > 4) found.push(`${one.node.textContent.trim()} | ${other.node.textContent.trim()}`);
    }
  }
  return found;
};
