// viewer.js - the page's state, its controls, and what is drawn from it.
'use strict';

const trace = JSON.parse(document.getElementById('trace').textContent);
const config = trace.config, prompt = trace.prompt_pieces.length;
const uncached = trace.uncached && new Run(trace.uncached, config);
const cached = trace.cached && new Run(trace.cached, config);
const runs = [cached, uncached].filter(Boolean);
const any = runs[0];
const rowsInAll = prompt + trace.steps - 1; // the last token is never fed

// What is shown; all of it is in the address, so that a view can be linked.
const state = {step: 0, layer: 0, head: 0, picked: null}; // picked: {key, query or null}

const kvHeadOf = (head) => Math.floor(head / (config.heads / config.kv_heads));
const view = () => ({...state, kvHead: kvHeadOf(state.head)});
const length = () => prompt + state.step; // tokens fed by the end of this step
const piece = (position) => position < prompt ? trace.prompt_pieces[position] : any.steps[position - prompt].piece;
const called = (run) => run === cached ? 'with the cache' : 'without';

// --- the text, and what was compared

function renderText() {
    const line = (run) => element('p', {}, ...Array.from({length: length() + 1}, (_, position) => {
        const text = position < prompt ? trace.prompt_pieces[position] : run.steps[position - prompt].piece;
        if (position === length()) return element('mark', {textContent: visible(text), title: 'chosen in this step, not fed yet'});
        return element('span', {textContent: visible(text), className: position < prompt ? 'prompt' : ''});
    }));
    const tokens = (run) => run.steps.slice(0, state.step + 1).map((step) => step.token).join();
    if (runs.length < 2 || tokens(cached) === tokens(uncached)) at('text').replaceChildren(line(any));
    else at('text').replaceChildren(element('p', {className: 'differs', textContent: 'The runs chose different tokens; without the cache, then with it:'}), line(uncached), line(cached));
}

function renderCompared() {
    const now = trace.compared?.[state.step];
    at('compared').className = now?.differ ? 'differs' : '';
    if (!now) {
        at('compared').textContent = 'Nothing to compare: this trace holds one run only.';
        return;
    }
    const sums = [uncached, cached].map((run) => run.steps[state.step].logits_sum);
    let text = `${grouped(now.floats)} floats compared so far, ${grouped(now.differ)} differ (all rows of the run without a cache). `;
    text += sums[0] === sums[1] ? `Logits, both runs: ${sums[0]}` : `Logits: ${sums[0]} without, ${sums[1]} with the cache`;
    const first = now.first;
    if (first) text += `. First difference: step ${first.step}, ${first.op}, layer ${first.layer}, position ${first.position}, float ${first.index}`;
    at('compared').textContent = text;
}

// --- the two runs

function renderRun(run, box, triangle) {
    if (!run) return;
    const computed = new Set(run.steps[state.step].rows), n = length();
    const weights = [...computed].reduce((sum, row) => sum + row + 1, 0);
    const kept = n - computed.size;
    box.querySelector('.work').textContent = `This step: ${plural(computed.size, 'row')} of q, k, v; ${plural(weights, 'weight')} a head` +
        (run === uncached ? '' : kept ? `; ${plural(kept, 'row')} of K and V from the cache` : '; the cache was empty');
    triangle.canvas.setAttribute('aria-label', `${box.querySelector('h2').textContent}: step ${state.step}, layer ${state.layer}, query head ${state.head}, ` +
        `${n} rows, ${weights} weights computed in this step. Arrow keys choose a cell, Enter shows its K and V.`);
    triangle.draw({length: n, computed, framed: run === cached, picked: state.picked, weights: (query) => attention(run, view(), query).weights});
}

const triangles = new Map(runs.map((run) => {
    const box = at(run === uncached ? 'uncached' : 'cached');
    const say = (query, key) => { at('cell').textContent = describe(query, key); };
    return [run, new Triangle(box.querySelector('canvas'), rowsInAll, (query, key) => pick(key, query), say)];
}));

// One score and weight in a sentence, and when each run computed it.
function describe(query, key) {
    const said = runs.map((run) => {
        const {scores, weights} = attention(run, view(), query);
        const fed = run.steps.findIndex((step) => step.rows.includes(query));
        const when = run.steps[state.step].rows.includes(query) ? 'in this step' : `in step ${fed} and not again`;
        return {value: `score ${scores[key].toFixed(4)}, weight ${weights[key].toFixed(4)}`, when: `${called(run)} computed ${when}`};
    });
    const values = said.every(({value}) => value === said[0].value) ? said[0].value
        : said.map(({value}, i) => `${called(runs[i])} ${value}`).join(', ');
    return `Query ${query} ${visible(piece(query))} to key ${key} ${visible(piece(key))}: ${values}; ${said.map(({when}) => when).join(', ')}.`;
}

// --- the cache: its rows are made once, later steps only show more of them, so that the focus stays

const table = at('table');

function makeTable() {
    for (let position = 0; position < rowsInAll; ++position) {
        const row = element('button', {type: 'button', tabIndex: -1}, element('span', {className: 'name'}), element('span', {className: 'strip'}), element('span', {className: 'strip'}));
        row.addEventListener('click', () => pick(position, null));
        table.append(element('li', {}, row));
    }
    table.addEventListener('keydown', (event) => {
        const down = {ArrowUp: -1, ArrowDown: 1}[event.key];
        if (!down) return;
        const rows = [...table.querySelectorAll('li:not([hidden]) button')];
        rows[rows.indexOf(document.activeElement) + down]?.focus();
        event.preventDefault();
    });
}

// A float is a coloured piece of the strip: one gradient with hard stops instead of head_dim elements.
function strip(floats, most) {
    const share = 100 / floats.length;
    const stops = Array.from(floats, (x, i) => `rgb(var(${x < 0 ? '--negative' : '--positive'}) / ${(Math.abs(x) / (most || 1)).toFixed(3)}) ${(i * share).toFixed(3)}% ${((i + 1) * share).toFixed(3)}%`);
    return `linear-gradient(to right, ${stops.join(', ')})`;
}

function renderTable() {
    if (!cached) return;
    const {step, layer, kvHead} = view(), fresh = new Set(cached.steps[step].rows);
    const most = ['key', 'value'].map((op) => cached.largest(op, layer, kvHead));
    [...table.children].forEach((item, position) => {
        item.hidden = position >= length();
        if (item.hidden) return;
        const row = item.firstChild, isNew = fresh.has(position);
        row.className = isNew ? 'fresh' : '';
        row.tabIndex = position === length() - 1 ? 0 : -1;
        row.ariaCurrent = state.picked?.key === position ? 'true' : null;
        row.ariaLabel = `Position ${position}, ${visible(piece(position))}${isNew ? ', new in this step' : ''}: show K and V`;
        row.children[0].textContent = `${position} ${visible(piece(position))}`;
        ['key', 'value'].forEach((op, i) => {
            row.children[i + 1].style.backgroundImage = strip(cached.slice(op, layer, kvHead, position, step).floats, most[i]);
        });
    });
    if (!table.contains(document.activeElement)) table.scrollTop = table.scrollHeight; // the new row is the last one
    else if (document.activeElement.parentElement.hidden) table.querySelector('[tabindex="0"]').focus();
}

// --- counters

const COUNTERS = [['flops', 'FLOPs'], ['kv_projections', 'K/V projections'], ['weight_bytes', 'weights read, bytes'],
    ['cache_read', 'K/V read, bytes'], ['cache_written', 'K/V written, bytes']];

function renderCounters() {
    const shown = [uncached, cached], cell = (text, small) => element('td', {}, text, ...(small ? [element('small', {textContent: small})] : []));
    const rows = [element('tr', {}, ...['', 'without', 'with the cache', 'ratio'].map((text) => element('th', {scope: 'col', textContent: text})))];
    for (const [name, label] of COUNTERS) {
        const sums = shown.map((run) => run?.sums[state.step][name]);
        const cells = shown.map((run, i) => run ? cell(grouped(sums[i]), `+${grouped(run.steps[state.step].work[name])}`) : cell('–'));
        const ratio = runs.length === 2 && sums[1] > 0 ? `${(sums[0] / sums[1]).toFixed(2)} ×` : '–';
        rows.push(element('tr', {}, element('th', {scope: 'row', textContent: label}), ...cells, cell(ratio)));
    }
    const held = shown.map((run) => cell(run ? grouped(run.steps[state.step].cache_bytes) : '–'));
    rows.push(element('tr', {}, element('th', {scope: 'row', textContent: 'cache holds, bytes'}), ...held, cell('')));
    at('counters').replaceChildren(...rows);
}

// --- one position

function pick(key, query) {
    state.picked = {key, query};
    render();
}

function renderInspector() {
    const {picked} = state;
    if (!picked || picked.key >= length() || picked.query >= length()) {
        at('cell').textContent = 'Choose a cell of a triangle or a row of the cache: its K and V are shown here.';
        at('verdict').replaceChildren();
        at('inspector').replaceChildren();
        return;
    }
    const group = config.heads / config.kv_heads, first = kvHeadOf(state.head) * group;
    const serves = group === 1 ? `query head ${first}` : `query heads ${first} ${group === 2 ? 'and' : 'to'} ${first + group - 1}`;
    at('verdict').replaceChildren(...inspect(at('inspector'), runs.map((run) => [called(run), run]), view(), picked.key));
    const pair = picked.query === null ? '' : `${describe(picked.query, picked.key)} `;
    const when = picked.key < prompt ? 'fed with the prompt' : `fed in step ${picked.key - prompt + 1}`;
    at('cell').textContent = `${pair}Position ${picked.key} ${visible(piece(picked.key))}, ${when}; layer ${state.layer}, KV head ${kvHeadOf(state.head)}, which serves ${serves}.`;
}

// --- all of it

function render() {
    at('step').value = state.step;
    at('step').ariaValueText = `step ${state.step}, ${plural(length(), 'token')} fed`;
    at('step-text').textContent = `${state.step} of ${trace.steps - 1}, ${plural(length(), 'token')} fed`;
    at('layer').value = state.layer;
    at('head').value = state.head;
    at('kv-head').textContent = `served by KV head ${kvHeadOf(state.head)}`;
    renderText();
    renderCompared();
    renderRun(uncached, at('uncached'), triangles.get(uncached));
    renderRun(cached, at('cached'), triangles.get(cached));
    renderTable();
    renderCounters();
    renderInspector();
    writeAddress();
}

// --- the address: #step=5&layer=1&head=2&cell=7,3 (query, key) or &cell=3 (a row of the cache)

function readAddress() {
    state.step = asked('step', trace.steps) ?? state.step;
    state.layer = asked('layer', config.layers) ?? state.layer;
    state.head = asked('head', config.heads) ?? state.head;
    const cell = (new URLSearchParams(location.hash.slice(1)).get('cell') ?? '').split(',').map((text) => wholeBelow(text, rowsInAll));
    if (cell[0] !== null && cell.length === 1) state.picked = {key: cell[0], query: null};
    if (cell.length === 2 && cell[0] !== null && cell[1] !== null && cell[1] <= cell[0]) state.picked = {query: cell[0], key: cell[1]};
}

function writeAddress() {
    const {step, layer, head, picked} = state;
    const cell = picked ? `&cell=${picked.query === null ? '' : `${picked.query},`}${picked.key}` : '';
    history.replaceState(null, '', `#step=${step}&layer=${layer}&head=${head}${cell}`);
}

function start() {
    const {architecture = '?', layers, heads, kv_heads, head_dim} = config;
    at('about').textContent = `${trace.model}: ${architecture}, ${plural(layers, 'layer')}, ${plural(heads, 'query head')}, ${plural(kv_heads, 'KV head')} of ${head_dim} numbers. ` +
        `${trace.engine}. Prompt of ${plural(prompt, 'token')}, ${plural(trace.steps, 'step')}.`;
    for (const [run, id] of [[uncached, 'uncached'], [cached, 'cached']]) {
        if (run) continue;
        at(id).querySelector('.shown').hidden = true;
        at(id).querySelector('.missing').hidden = false;
        const command = ['step03_kvcache', 'generate', '--compare', '--trace', 'run.jsonl'];
        at(id).querySelector('.missing').replaceChildren(`This trace holds the run “${any.name}” only. To see both, record both: `,
            ...command.flatMap((word) => [element('code', {textContent: word}), ' ']));
    }
    for (const [id, count] of [['layer', layers], ['head', heads]])
        at(id).append(...Array.from({length: count}, (_, i) => element('option', {value: i, textContent: i})));
    for (const id of ['layer', 'head']) at(id).addEventListener('change', (event) => { state[id] = Number(event.target.value); render(); });
    if (cached) {
        at('cached-title').append(' ', element('small', {textContent: cached.cache}));
        if (cached.cache !== 'f32') at('cached-title').append(element('small', {textContent: ': K and V as they were handed to it'}));
        makeTable();
    }
    followSteps(state, trace.steps, 500, readAddress, render);
}

start();
