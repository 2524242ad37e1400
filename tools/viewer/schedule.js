// schedule.js - the page's state, what it says of a cell, and the tables of a step.
'use strict';

const trace = JSON.parse(at('trace').textContent);
const {requests, steps} = trace;

// What is shown; all of it is in the address, so that a view can be linked.
const state = {step: 0, request: null, page: null}; // the chosen one of either is a number, or both are null

// --- what the charts ask

// Who has a page after a step: requests, and INDEX. Made once: step -> page -> owners.
const owned = steps.map(({tables, indexed}) => {
    const all = Array.from({length: trace.pages}, () => []);
    for (const [request, pages] of Object.entries(tables)) pages.forEach((page) => all[page].push(Number(request)));
    indexed.forEach((page) => all[page].push(INDEX));
    return all;
});
const owners = (page, step) => owned[step][page];

const eventsOf = (request, step) => steps[step].events.filter((event) => event.request === request && event.kind !== 'evicted');
const isHit = ({kind, count}) => (kind === 'admitted' || kind === 'resumed') && count > 0;

function marks(request, step) {
    return eventsOf(request, step).flatMap((event) => isHit(event) ? ['hit'] : ['ended', 'cancelled'].includes(event.kind) ? [event.kind] : []);
}

// --- in words

const STATES = {
    none: 'has not come yet', waiting: 'waits', preempted: 'waits, preempted: its pages were taken from it',
    swapped: 'waits, preempted: its pages are kept outside of the pool', idle: 'runs, but the step had no tokens for it', over: 'is over',
    prefill: 'prefill', again: 'prefill again, of what it had before it was preempted', decode: 'decode',
};
const milliseconds = (seconds) => `${(1e3 * seconds).toPrecision(3)} ms`;
const list = (words) => words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;

function inWords({kind, count}) {
    if (kind === 'evicted') return `the prefix index lets go of ${plural(count, 'page')}`;
    if (isHit({kind, count})) return `${kind}, with ${plural(count, 'token')} from other texts’ pages`;
    return kind === 'swapped' ? `swapped out, ${plural(count, 'page')}` : kind;
}

function partInWords({fed, drafted, accepted, written}) {
    const guesses = drafted ? `, of them ${plural(drafted, 'guess').replace('guesss', 'guesses')}, ${accepted} right` : '';
    return `${plural(fed, 'token')} fed${guesses}, ${written} written`;
}

function describeRequest(request, step) {
    const part = steps[step].parts.find((each) => each.request === request);
    const events = eventsOf(request, step).map(inWords).map((text) => `; ${text}`).join('');
    const {prompt_tokens, scope} = requests[request], who = `prompt of ${prompt_tokens}${scope ? `, scope “${visible(scope)}”` : ''}`;
    return `Step ${step}, request ${request} (${who}): ${STATES[steps[step].states[request]]}${part ? `, ${partInWords(part)}` : ''}${events}.`;
}

function describePage(page, step) {
    const now = owners(page, step), users = now.filter((owner) => owner !== INDEX);
    const who = users.length ? `of ${users.length > 1 ? 'requests' : 'request'} ${list(users.map(String))}` : '';
    const text = !now.length ? 'free' : !users.length ? 'held by the prefix index alone' : now.length === 1 ? who
        : `shared, ${who}${users.length < now.length ? ' and the prefix index' : ''}`;
    return `Step ${step}, page ${page}: ${text}.`;
}

// --- the charts

const choose = (request, page, step) => { Object.assign(state, {request, page, step}); render(); };
const say = (describe) => (row, step) => { at('cell').textContent = row === null ? chosenInWords() : describe(row, step); };
const batch = new BatchChart(at('batch'), requests.length, steps, marks,
    {pick: (request, step) => choose(request, null, step), say: say(describeRequest), home: () => [state.request ?? 0, state.step]});
const pages = new PagesChart(at('pages'), trace.pages, steps.length, owners,
    {pick: (page, step) => choose(null, page, step), say: say(describePage), home: () => [state.page ?? 0, state.step]});

function chosenInWords() {
    if (state.request !== null) return describeRequest(state.request, state.step);
    if (state.page !== null) return describePage(state.page, state.step);
    return 'Point at a cell, or choose one: what it is stands here.';
}

function count(step) {
    const all = owned[step], users = (now) => now.filter((owner) => owner !== INDEX).length;
    return {used: all.filter((now) => users(now) > 0).length, shared: all.filter((now) => now.length > 1).length,
        index: all.filter((now) => now.length === 1 && now[0] === INDEX).length, free: all.filter((now) => now.length === 0).length};
}

function renderCharts() {
    const {step} = state, running = steps[step].parts.length, {used, shared, index, free} = count(step);
    at('batch').ariaLabel = `${plural(requests.length, 'request')} by ${plural(steps.length, 'step')}. In step ${step} ${running} of them feed tokens. ` +
        'Arrow keys visit a cell, Enter chooses it.';
    at('pages').ariaLabel = `${plural(trace.pages, 'page')} by ${plural(steps.length, 'step')}. After step ${step}: ${used} in use by requests, ${shared} shared, ` +
        `${index} held by the prefix index alone, ${free} free. Arrow keys visit a cell, Enter chooses it.`;
    batch.draw({step, pickedRow: state.request});
    pages.draw({step, pickedRow: state.page, request: state.request});
}

// --- the step in words and tables

function renderEvents() {
    const {events, copied} = steps[state.step];
    const lines = events.map((event) => event.kind === 'evicted' ? inWords(event) : `request ${event.request}: ${inWords(event)}`);
    if (copied) lines.push(`${plural(copied, 'page')} copied, to be written by one of the users`);
    at('events').replaceChildren(...(lines.length ? lines : ['nothing but tokens']).map((text) => element('li', {textContent: text})));
}

function tableOf(request) {
    const table = steps[state.step].tables[request] ?? [];
    return table.flatMap((page, i) => [i ? ' ' : '', element('span', {className: owners(page, state.step).length > 1 ? 'shared' : '', textContent: page})]);
}

function renderTables() {
    const head = ['request', 'state', 'block table', 'this step'];
    const rows = requests.flatMap((_, request) => {
        const now = steps[state.step].states[request], part = steps[state.step].parts.find((each) => each.request === request);
        if (now === 'none' || (now === 'over' && !part)) return [];
        const owner = element('span', {className: 'owner'});
        owner.style.background = `var(${ownerColour(request)})`;
        return [element('tr', {className: request === state.request ? 'picked' : ''}, element('th', {scope: 'row'}, owner, String(request)),
            element('td', {textContent: now}), element('td', {}, ...tableOf(request)), element('td', {textContent: part ? partInWords(part) : ''}))];
    });
    at('tables').replaceChildren(element('thead', {}, element('tr', {}, ...head.map((text) => element('th', {scope: 'col', textContent: text})))),
        element('tbody', {}, ...rows));
    const alone = owned[state.step].flatMap((now, page) => now.length === 1 && now[0] === INDEX ? [page] : []), {free} = count(state.step);
    at('others').textContent = `Held by the prefix index alone: ${alone.join(' ') || 'no page'}. Free: ${plural(free, 'page')}.`;
}

// --- all of it

function render() {
    const {step} = state, fed = steps[step].parts.reduce((sum, part) => sum + part.fed, 0), last = steps.length - 1;
    at('step').value = step;
    at('step').ariaValueText = `step ${step}, ${plural(fed, 'token')} fed`;
    at('step-text').textContent = `${step} of ${last}: ${plural(fed, 'token')}, ${milliseconds(steps[step].seconds)}`;
    at('cell').textContent = chosenInWords();
    at('tables-title').textContent = `After step ${step}`;
    renderCharts();
    renderEvents();
    renderTables();
    const picked = ['request', 'page'].flatMap((name) => state[name] === null ? [] : [`&${name}=${state[name]}`]).join('');
    history.replaceState(null, '', `#step=${step}${picked}`);
}

// #step=5&request=2 or #step=5&page=7
function readAddress() {
    state.step = asked('step', steps.length) ?? state.step;
    const request = asked('request', requests.length), page = request === null ? asked('page', trace.pages) : null;
    if (request !== null || page !== null) Object.assign(state, {request, page});
}

function legend(id, items) {
    at(id).replaceChildren(...items.map(([name, background, mark]) => {
        const swatch = element('span', {className: 'swatch', textContent: mark ?? ''});
        swatch.style.background = background;
        return element('span', {className: 'item'}, swatch, ` ${name}`);
    }));
}

function renderFixed() {
    const used = (name) => steps.some(({states}) => states.includes(name));
    const guessed = steps.some(({parts}) => parts.some(({drafted}) => drafted > 0)), bands = (...parts) => `linear-gradient(${parts.join(', ')})`;
    const names = {waiting: 'waits', prefill: 'prefill, and its tokens', again: 'prefill again', decode: 'decode', idle: 'runs without tokens', preempted: 'preempted', swapped: 'swapped out'};
    legend('batch-legend', [...Object.entries(names).filter(([name]) => used(name)).map(([name, text]) => [text, `var(--${name})`]),
        ...(guessed ? [['guesses, as far as right', bands('90deg', 'var(--right-guesses) 60%', 'var(--wrong-guesses) 60%')]] : []),
        ['tokens from other pages', bands('225deg', 'var(--ink) 40%', 'transparent 40%')], ['ended', bands('90deg', 'transparent 85%', 'var(--ink) 85%')], ['cancelled', 'none', '×']]);
    const two = ['var(--owner0) 50%', 'var(--owner1) 50%'];
    legend('pages-legend', [['of one request', 'var(--owner0)'], ['shared by two', bands(...two)], ['and by the prefix index', bands('var(--owner0) 75%', 'var(--index-only) 75%')],
        ['the index alone', 'var(--index-only)'], ['free', 'var(--free)']]);
    const seconds = steps.reduce((sum, step) => sum + step.seconds, 0), written = requests.reduce((sum, request) => sum + request.written, 0);
    const cached = requests.reduce((sum, request) => sum + request.cached, 0);
    at('about').textContent = `${trace.model}${trace.engine ? `, ${trace.engine}` : ''}: ${plural(requests.length, 'request')}, ${plural(steps.length, 'step')} in ${milliseconds(seconds)}, ` +
        `${plural(written, 'token')} written, ${plural(cached, 'token')} of prompts taken from other texts’ pages. ${plural(trace.pages, 'page')} of ${plural(trace.page_slots, 'slot')}.`;
}

renderFixed();
followSteps(state, steps.length, 400, readAddress, render);
