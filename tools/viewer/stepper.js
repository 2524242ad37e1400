// stepper.js - the step that a page shows, moved by the slider, the button, the keys and the address.
'use strict';

const wholeBelow = (text, end) => /^\d+$/.test(text ?? '') && Number(text) < end ? Number(text) : null;

// An entry of the address, #step=5&layer=1, or null.
const asked = (name, end) => wholeBelow(new URLSearchParams(location.hash.slice(1)).get(name), end);

// `render` draws the page of state.step, one of `count`; `readAddress` takes what the address asks for into the state.
// Played, a step is shown for `wait` milliseconds. Draws the first time, too.
function followSteps(state, count, wait, readAddress, render) {
    let player = null;

    function go(step) {
        state.step = Math.min(Math.max(step, 0), count - 1);
        render();
    }

    function play(on) {
        clearInterval(player);
        player = on ? setInterval(() => state.step + 1 < count ? go(state.step + 1) : play(false), wait) : null;
        at('play').textContent = on ? 'Pause' : 'Play';
        if (on && state.step === count - 1) go(0);
    }

    document.addEventListener('keydown', (event) => {
        const target = event.target.tagName, moves = {ArrowLeft: state.step - 1, ArrowRight: state.step + 1, Home: 0, End: count - 1};
        if (event.altKey || event.ctrlKey || event.metaKey || target === 'SELECT') return;
        if (event.key === ' ' && target !== 'BUTTON') play(player === null);
        else if (event.key in moves && target !== 'INPUT') go(moves[event.key]); // the slider moves itself
        else return;
        event.preventDefault();
    });
    at('step').max = count - 1;
    at('step').addEventListener('input', (event) => go(Number(event.target.value)));
    at('play').addEventListener('click', () => play(player === null));
    addEventListener('hashchange', () => { readAddress(); render(); });
    addEventListener('resize', render);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', render);
    readAddress();
    render();
}
