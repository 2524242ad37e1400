// inspector.js - one position's K and V: decimal, bits, checksum, and whether both runs hold the same bits.
'use strict';

// 'same bits', or how many of the floats differ.
function verdict(slices) {
    if (slices.length < 2) return 'one run only';
    const count = differing(slices[0].bits, slices[1].bits);
    return count === 0 ? 'same bits' : `${count} of ${slices[0].bits.length} floats differ`;
}

// held: op -> the runs' slices, [cached, uncached] or one of them. Returns the table of floats.
function floatsTable(names, held) {
    const ops = Object.keys(held);
    const head = ops.flatMap((op) => [op === 'key' ? 'K' : 'V', 'bits'])
        .map((text) => element('th', {scope: 'col', textContent: text}));
    const table = element('table', {className: 'floats'}, element('thead', {}, element('tr', {}, element('th', {scope: 'col', textContent: 'i'}), ...head)));
    const body = element('tbody');
    for (let i = 0; i < held.key[0].bits.length; ++i) {
        const same = ops.every((op) => held[op].every((slice) => slice.bits[i] === held[op][0].bits[i]));
        // One line serves both runs where their bits are equal.
        names.slice(0, same ? 1 : names.length).forEach((name, run) => body.append(floatsRow(ops, held, i, run, same ? '' : name)));
    }
    table.append(body);
    return table;
}

function floatsRow(ops, held, i, run, name) {
    const row = element('tr', {}, element('th', {scope: 'row', textContent: name ? `${i} ${name.split(' ')[0]}` : i}));
    for (const op of ops) {
        const slice = held[op][run], differs = held[op].some((other) => other.bits[i] !== slice.bits[i]);
        for (const text of [decimal(slice.floats[i]), hex(slice.bits[i])])
            row.append(element('td', {textContent: text, className: differs ? 'differs' : ''}));
    }
    return row;
}

// checksums of the same slices, one line a run
function checksumsTable(names, held) {
    const table = element('table', {className: 'sums'}, element('thead', {}, element('tr', {},
        ...['checksum of', 'K', 'V'].map((text) => element('th', {scope: 'col', textContent: text})))));
    const body = element('tbody');
    names.forEach((name, run) => body.append(element('tr', {}, element('th', {scope: 'row', textContent: name}),
        ...['key', 'value'].map((op) => element('td', {textContent: checksum(held[op][run].bits)})))));
    table.append(body);
    return table;
}

// Fills `place` with what the runs, [name, run], hold of `position`; returns the verdicts on K and V.
function inspect(place, runs, view, position) {
    const held = {}, names = runs.map(([name]) => name);
    for (const op of ['key', 'value'])
        held[op] = runs.map(([, run]) => run.slice(op, view.layer, view.kvHead, position, view.step));
    place.replaceChildren(checksumsTable(names, held), floatsTable(names, held));
    return ['key', 'value'].map((op) => element('span', {
        className: verdict(held[op]) === 'same bits' ? 'verdict same' : 'verdict differs',
        textContent: `${op === 'key' ? 'K' : 'V'}: ${verdict(held[op])}`,
    }));
}
