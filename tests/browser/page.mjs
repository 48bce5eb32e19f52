// Goes through the unsubscribe page as people do, in a real browser, and says what is wrong; run by tests/unsubscribe_page.rs.
//
//   node page.mjs <plan.json>
//
// The plan has `tools` (a folder with playwright-core and axe-core), `chromium`, `shots` (a folder for pictures) and the links.
// Every flow runs without JavaScript. axe needs it, so it looks at a copy of each page in a browser that has it.

import { createRequire } from 'node:module';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const plan = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const require = createRequire(join(plan.tools, 'node_modules', 'x.js'));
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const NARROW = { width: 320, height: 640 };
const WIDE = { width: 1280, height: 900 };
// Longer than it takes on a busy machine; a browser that hangs is a failure, not a wait.
const PATIENCE_MS = 8 * 60_000;
const wrong = [];
let looked = 0;

setTimeout(() => {
  console.log(`not done in time, after ${looked} pages`);
  process.exit(2);
}, PATIENCE_MS).unref();

function must(so, what) {
  if (!so) wrong.push(what);
}

const browser = await chromium.launch({ executablePath: plan.chromium, args: ['--no-sandbox'] });

/** A person's browser: their language, their screen, no JavaScript. */
async function person(language, options = {}) {
  const context = await browser.newContext({
    locale: language, viewport: WIDE, javaScriptEnabled: false, ...options,
  });
  const page = await context.newPage();
  page.on('request', (request) => {
    const kind = request.resourceType();
    must(request.url().startsWith('http://127.0.0.1:') && kind === 'document', `asks for ${kind} elsewhere`);
  });
  page.on('console', (message) => must(expected(message.text()), `says ${message.text()}`));
  const twin = await browser.newContext({ locale: language, viewport: WIDE, ...options });
  return { context, page, language, reader: await twin.newPage(), twin };
}

/** What axe finds on a copy of the page that is shown. */
async function barriers({ page, reader }) {
  await reader.setContent(await page.content());
  await reader.evaluate(axe);
  return reader.evaluate(async () => {
    const ran = await axe.run(document, { rules: { 'target-size': { enabled: true } } });
    return ran.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(' ')}`);
  });
}

async function leave({ context, twin }) {
  await context.close();
  await twin.close();
}

/** That a page was a 404 and the like is said by the browser itself. */
function expected(text) {
  return text.startsWith('Failed to load resource: the server responded with a status of');
}

/** Looks at a page that is shown: axe, its language, its size, what a finger must hit; takes its picture. */
async function look(who, name) {
  const { context, page, language } = who;
  const at = `${name} (${language})`;
  looked += 1;
  const found = await barriers(who);
  for (const one of found) wrong.push(`${at}: axe: ${one}`);
  const seen = await page.evaluate(() => ({
    lang: document.documentElement.lang,
    headings: document.querySelectorAll('h1').length,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    small: [...document.querySelectorAll('label, button, a')]
      .filter((one) => one.getBoundingClientRect().height < 44).map((one) => one.outerHTML),
    scripts: document.querySelectorAll('script').length,
    style: getComputedStyle(document.body).marginTop,
  }));
  must(seen.lang === language, `${at}: lang is ${seen.lang}`);
  must(seen.headings === 1, `${at}: ${seen.headings} first headings`);
  must(seen.wide <= 0, `${at}: scrolls sideways by ${seen.wide} px`);
  must(seen.small.length === 0, `${at}: too small for a finger: ${seen.small}`);
  must(seen.scripts === 0, `${at}: has a script`);
  must(seen.style === '0px', `${at}: its style was not let in`);
  must((await context.cookies()).length === 0, `${at}: has cookies`);
  await page.screenshot({ path: join(plan.shots, `${name}-${language}.png`), fullPage: true });
}

async function open(who, url, status = 200) {
  const response = await who.page.goto(url);
  must(response.status() === status, `${url.length} characters: ${response.status()}, not ${status}`);
}

/** Presses the button of this kind, and waits for the answer. */
async function press(who, selector, status = 200) {
  const answer = who.page.waitForResponse((response) => response.request().method() === 'POST');
  await who.page.click(selector);
  must((await answer).status() === status, `${selector}: ${(await answer).status()}, not ${status}`);
  await who.page.waitForLoadState();
}

const undo = 'section button';
const stop = 'form button:not(.plain)';

// The whole way, in each language, on a desk and on a telephone.
for (const [language, links] of Object.entries(plan.links)) {
  for (const [screen, viewport] of [['wide', WIDE], ['narrow', NARROW]]) {
    const who = await person(language, { viewport });
    await open(who, links[screen]);
    must(await who.page.locator('input[type=radio]').count() === 3, 'not three choices');
    must(await who.page.locator('input[value=list]').isChecked(), 'the narrowest is not chosen');
    await look(who, `ask-${screen}`);
    // Whoever clicks on the words chooses.
    await who.page.locator('label', { has: who.page.locator('input[value=channel]') }).locator('span').click();
    must(await who.page.locator('input[value=channel]').isChecked(), 'the words do not choose');
    await press(who, stop);
    await look(who, `done-${screen}`);
    await press(who, undo);
    await look(who, `undone-${screen}`);
    await who.page.click('a');
    await who.page.waitForLoadState();
    must(await who.page.locator(stop).count() === 1, 'no way back to the choices');
    await press(who, stop);
    must(await who.page.locator(undo).count() === 1, 'no undo after a new choice');
    await open(who, links[screen]);
    await press(who, stop);
    must(await who.page.locator(undo).count() === 0, 'an undo of what was in force before');
    await open(who, links.broken, 404);
    await look(who, `not-found-${screen}`);
    await open(who, links.branded);
    await look(who, `branded-${screen}`);
    await press(who, stop, 503);
    await look(who, `unavailable-${screen}`);
    await leave(who);
  }
}

// Those who see differently: dark, more contrast, colours of their own.
for (const [name, options] of [
  ['dark', { colorScheme: 'dark' }],
  ['contrast', { contrast: 'more' }],
  ['forced', { forcedColors: 'active' }],
  ['forced-dark', { forcedColors: 'active', colorScheme: 'dark' }],
]) {
  const who = await person('en', { ...options, viewport: { width: 420, height: 760 } });
  await open(who, plan.modes[name]);
  await look(who, `ask-${name}`);
  await press(who, stop);
  await look(who, `done-${name}`);
  await open(who, plan.links.en.branded);
  await look(who, `branded-${name}`);
  await leave(who);
}

// By keyboard alone: the focus is seen wherever it is.
{
  const who = await person('fr');
  await open(who, plan.keyboard);
  const focus = () => who.page.evaluate(() => {
    const on = document.activeElement;
    const outlined = (one) => one && getComputedStyle(one).outlineStyle !== 'none'
      && parseFloat(getComputedStyle(one).outlineWidth) >= 2;
    return { tag: on.tagName, value: on.value, seen: Boolean(outlined(on) || outlined(on.closest('label'))) };
  });
  await who.page.keyboard.press('Tab');
  let on = await focus();
  must(on.tag === 'INPUT' && on.value === 'list' && on.seen, `first tab: ${JSON.stringify(on)}`);
  await who.page.keyboard.press('ArrowDown');
  await who.page.keyboard.press('ArrowDown');
  must((on = await focus()).value === 'all' && on.seen, `arrows: ${JSON.stringify(on)}`);
  await who.page.screenshot({ path: join(plan.shots, 'focus-fr.png'), fullPage: true });
  await who.page.keyboard.press('Tab');
  must((on = await focus()).tag === 'BUTTON' && on.seen, `second tab: ${JSON.stringify(on)}`);
  await Promise.all([who.page.waitForNavigation(), who.page.keyboard.press('Enter')]);
  must(await who.page.locator('.what').count() === 1, 'Enter does not press the button');

  // On paper, and without any style.
  const paper = join(plan.shots, 'done.pdf');
  await who.page.pdf({ path: paper, format: 'A4' });
  must(statSync(paper).size > 2_000, 'the print is empty');
  await who.page.emulateMedia({ media: 'print' });
  must(await who.page.locator(undo).isHidden(), 'a button is printed');
  must(await who.page.locator('.what').isVisible(), 'what was stopped is not printed');
  await who.page.screenshot({ path: join(plan.shots, 'print-fr.png'), fullPage: true });
  await who.page.emulateMedia({ media: 'screen' });
  await open(who, plan.keyboard);
  await who.page.evaluate(() => document.querySelectorAll('style').forEach((one) => one.remove()));
  must(await who.page.locator('input[type=radio]').count() === 3, 'no choices without style');
  await who.page.screenshot({ path: join(plan.shots, 'plain-fr.png'), fullPage: true });
  await leave(who);
}

await browser.close();
for (const one of wrong) console.log(one);
console.log(`${looked} pages looked at, ${wrong.length} wrong`);
process.exit(wrong.length === 0 ? 0 : 1);
