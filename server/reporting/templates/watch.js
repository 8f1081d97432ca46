// Fetches this page anew every few seconds and puts its <main> in the place of this one's. What the reader has opened,
// selected or focused stays as it is.
'use strict';

const EVERY = 3000;

async function renew() {
  const notice = document.getElementById('silence');
  const selection = getSelection();
  if (document.hidden || (selection && !selection.isCollapsed)) return;
  try {
    const answer = await fetch('/', { cache: 'no-store', signal: AbortSignal.timeout(EVERY * 3) });
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const open = [...document.querySelectorAll('main details[open]')].map((each) => each.id);
    const focused = document.activeElement ? document.activeElement.id : '';
    document.querySelector('main').replaceWith(document.adoptNode(fresh.querySelector('main')));
    document.title = fresh.title;
    open.forEach((id) => document.getElementById(id)?.setAttribute('open', ''));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    notice.hidden = true;
  } catch {
    notice.hidden = false;
  }
}

setInterval(renew, EVERY);
document.addEventListener('visibilitychange', renew);
