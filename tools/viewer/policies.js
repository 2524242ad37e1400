// policies.js - the page's state, its controls, and what is drawn from it.
'use strict';

const trace = JSON.parse(at('trace').textContent);
const {config, pieces, whole, recall, classes} = trace;
const policies = trace.policies.map((policy) => new Recorded(policy, trace));
const fedInAll = pieces.length - 1, steps = fedInAll - whole + 1;

// What is shown; all of it is in the address, so that a view can be linked.
const state = {step: steps - 1, layer: 0, head: 0, picked: null}; // picked: a position or null

const place = () => state.layer * config.kv_heads + state.head;
const fed = (step) => whole + step; // tokens by the end of a step
const quoted = (text) => `“${visible(text)}”`;
// A text keeps its spaces where it may be broken.
const readable = (text) => visible(text).replace(/␣/g, ' ');
const roles = (position) => ['needle', 'question'].filter((role) => recall?.[role].includes(position));

// --- one token in one policy

function fate(policy, position) {
    const found = policy.fate(place(), position);
    return found.map(([into, step]) => `${classes[into]} from step ${step}`).join(', ') || 'not fed';
}

function describe(policy, step, position) {
    const into = policy.classes(place())[step][position], role = roles(position).map((name) => `, of the ${name}`).join('');
    return `${policy.name}, step ${step}, position ${position} ${quoted(pieces[position])}${role}: ` +
        `${into === NOT_FED ? 'not fed yet' : classes[into]} (${fate(policy, position)}).`;
}

// --- recall

// Of the needle's tokens, how many this place holds.
function needleHeld(policy, where, step) {
    const now = policy.classes(where)[step];
    return recall.needle.filter((position) => now[position] !== EVICTED && now[position] !== NOT_FED).length;
}

function placesWithNeedle(policy, step) {
    const all = config.layers * config.kv_heads;
    const with_all = Array.from({length: all}, (_, where) => needleHeld(policy, where, step)).filter((n) => n === recall.needle.length);
    return `${with_all.length} of ${all}`;
}

function answer(policy) {
    const end = policy.steps.at(-1), verdict = end.right ? 'right' : `wrong, not ${quoted(pieces.at(-1))}`;
    return element('span', {className: end.right ? 'right' : 'wrong'}, `${quoted(end.likeliest)}, ${verdict}`);
}

// --- the cards: made once, later steps change classes and text only

const cards = policies.map((policy) => {
    const canvas = element('canvas', {className: 'grid', tabIndex: 0, role: 'application', ariaRoleDescription: 'grid of steps and positions'});
    const tokens = element('p', {className: 'tokens'}, ...pieces.slice(0, -1).map((text, position) => {
        const token = element('span', {textContent: readable(text)});
        token.addEventListener('click', () => { state.picked = position; render(); });
        return token;
    }));
    const held = element('p', {className: 'held'}), found = element('p', {className: 'found'}), picked = element('p', {className: 'fate'});
    const title = element('h2', {}, `${policy.name} `, element('small', {textContent: policy.idea}));
    at('policies').append(element('section', {className: 'policy', ariaLabel: policy.name},
        title, held, found, canvas, picked, tokens, element('p', {className: 'paper', textContent: policy.paper})));
    const grid = new Grid(canvas, steps, fedInAll, (step, position) => { Object.assign(state, {step, picked: position}); render(); },
        (step, position) => { at('cell').textContent = describe(policy, step, position); });
    return {policy, canvas, grid, tokens, held, found, picked};
});

function renderCard({policy, canvas, grid, tokens, held, found, picked}) {
    const {step} = state, all = policy.classes(place()), now = all[step], n = policy.held(place(), step);
    held.textContent = `holds ${n} of ${plural(fed(step), 'token')} here; ${grouped(policy.steps[step].bytes)} bytes in all`;
    found.replaceChildren(...(recall ? [`needle: ${needleHeld(policy, place(), step)} of ${recall.needle.length} tokens here, ` +
        `whole in ${placesWithNeedle(policy, step)} heads; `] : []), recall ? 'answer, at the end: ' : 'last token: ', answer(policy));
    canvas.ariaLabel = `${policy.name}: ${plural(steps, 'step')} by ${plural(fedInAll, 'position')}, layer ${state.layer}, KV head ${state.head}; ` +
        `step ${step} holds ${n}. Arrow keys visit a cell, Enter chooses it.`;
    grid.draw({classes: all, step, picked: state.picked, colours: colours(),
        marks: recall ? [{positions: recall.needle, colour: '--needle'}, {positions: recall.question, colour: '--question'}] : []});
    [...tokens.children].forEach((token, position) => {
        const into = now[position] === NOT_FED ? 'unfed' : classes[now[position]];
        token.className = [into, ...roles(position), ...(position === state.picked ? ['picked'] : [])].join(' ');
        token.title = `${position}: ${into === 'unfed' ? 'not fed yet' : into}`;
    });
    picked.hidden = state.picked === null;
    if (!picked.hidden) picked.textContent = `position ${state.picked} ${quoted(pieces[state.picked])}: ${fate(policy, state.picked)}`;
}

function colours() {
    const style = getComputedStyle(document.documentElement);
    return classes.map((name) => style.getPropertyValue(`--${name}`).trim());
}

// --- the table

function renderSummary() {
    const {step} = state, cell = (content) => element('td', {}, content);
    const head = ['policy', 'held here', 'bytes', ...(recall ? ['heads with the whole needle'] : []), 'next tokens right', 'bits per token',
        recall ? 'answer' : 'last token'];
    const rows = policies.map((policy) => {
        const score = policy.score(step);
        return element('tr', {}, element('th', {scope: 'row', textContent: policy.name}), cell(`${policy.held(place(), step)}`),
            cell(grouped(policy.steps[step].bytes)), ...(recall ? [cell(placesWithNeedle(policy, step))] : []),
            cell(`${score.right} of ${score.asked}`), cell(score.bits.toFixed(3)), cell(answer(policy)));
    });
    at('summary').replaceChildren(element('thead', {}, element('tr', {}, ...head.map((text) => element('th', {scope: 'col', textContent: text})))),
        element('tbody', {}, ...rows));
}

// --- all of it

function render() {
    at('step').value = state.step;
    at('step').ariaValueText = `step ${state.step}, ${plural(fed(state.step), 'token')} fed`;
    at('step-text').textContent = `${state.step} of ${steps - 1}, ${plural(fed(state.step), 'token')} fed`;
    at('layer').value = state.layer;
    at('head').value = state.head;
    at('cell').textContent = state.picked === null ? 'Choose a cell of a grid or a token: every policy then says what became of it.'
        : `Position ${state.picked} ${quoted(pieces[state.picked])}${roles(state.picked).map((name) => `, of the ${name}`).join('')}: see each policy.`;
    cards.forEach(renderCard);
    renderSummary();
    history.replaceState(null, '', `#step=${state.step}&layer=${state.layer}&head=${state.head}${state.picked === null ? '' : `&at=${state.picked}`}`);
}

// #step=5&layer=1&head=0&at=12
function readAddress() {
    for (const [name, end] of [['step', steps], ['layer', config.layers], ['head', config.kv_heads]]) state[name] = asked(name, end) ?? state[name];
    state.picked = asked('at', fedInAll) ?? state.picked;
}

function renderFixed() {
    const budget = trace.ratio > 0 ? `${trace.ratio} of the tokens seen` : plural(trace.budget, 'token');
    at('about').textContent = `${trace.model}: ${plural(config.layers, 'layer')}, ${plural(config.kv_heads, 'KV head')} of ${config.head_dim} numbers. ${trace.engine}. ` +
        `${plural(fedInAll, 'token')}: the first ${whole} go in whole, then one in each step. Budget: ${budget} for each layer and KV head.`;
    const text = (positions) => quoted(positions.map((position) => pieces[position]).join(''));
    at('asked').textContent = recall ? `Recall: the question ${text(recall.question)} asks for ${quoted(pieces.at(-1))}, said ${recall.distance} bytes before in the needle ${text(recall.needle)}.`
        : 'No question in this text: it is what the full cache writes. The last token of it is what the last step is asked for.';
    const used = classes.map((name, into) => [name, into]).filter(([, into]) => policies.some((policy) => policy.steps.some(({changes}) => changes.some((change) => change[3] === into))));
    const item = (name, variable) => {
        const swatch = element('span', {className: 'swatch'});
        swatch.style.background = `var(--${variable})`;
        return element('span', {className: 'item'}, swatch, ` ${name}`);
    };
    at('legend').replaceChildren(...used.map(([name]) => item(name, name)), ...(recall ? [item('needle', 'needle'), item('question', 'question')] : []));
}

function start() {
    for (const [id, count] of [['layer', config.layers], ['head', config.kv_heads]]) {
        at(id).append(...Array.from({length: count}, (_, i) => element('option', {value: i, textContent: i})));
        at(id).addEventListener('change', (event) => { state[id] = Number(event.target.value); render(); });
    }
    renderFixed();
    followSteps(state, steps, 300, readAddress, render);
}

start();
