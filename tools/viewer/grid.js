// grid.js - one policy's grid: row = step, column = position, coloured by the class of the token.
'use strict';

const MARKS = 9; // CSS pixels above the cells, for the needle and the question

class Grid extends Cells {
    // `pick(step, position)` is called for a chosen cell, `say(step, position)` for a visited one.
    constructor(canvas, steps, positions, pick, say) {
        super(canvas, steps, positions, Math.max(1, Math.min(9, 190 / steps)), {above: MARKS},
            {pick, say, home: () => [this.shown.step, this.shown.picked ?? 0]});
    }

    // shown: {classes: step -> class by position, colours: class -> colour, step, picked: position or null,
    // marks: [{positions, colour}]}
    draw(shown) {
        const colour = this.begin(shown);
        shown.classes.forEach((now, step) => {
            this.paint.globalAlpha = step > shown.step ? 0.3 : 1; // what is still to come
            this.row(step, now, shown.colours);
        });
        this.paint.globalAlpha = 1;
        for (const {positions, colour: mark} of shown.marks) this.mark(positions, colour(mark));
        if (shown.picked !== null) this.frame(0, shown.picked, this.rows, 1, colour('--ink'));
        this.frame(shown.step, 0, 1, this.columns, colour('--ink'));
        this.frameCursor(colour('--focus'));
    }

    // One rectangle for each run of a class.
    row(step, now, colours) {
        const [top, tall] = this.along(step);
        for (let first = 0, end; first < now.length; first = end) {
            for (end = first + 1; end < now.length && now[end] === now[first];) ++end;
            if (now[first] === NOT_FED) continue;
            const [left, width] = this.across(first, end);
            this.paint.fillStyle = colours[now[first]];
            this.paint.fillRect(left, top, width, tall);
        }
    }

    // A bar above the columns, and lines down both of its sides.
    mark(positions, colour) {
        const left = positions[0] * this.side, right = (positions.at(-1) + 1) * this.side, {paint} = this;
        paint.fillStyle = paint.strokeStyle = colour;
        paint.lineWidth = devicePixelRatio;
        paint.fillRect(left, -(MARKS - 2) * devicePixelRatio, Math.max(2, right - left), (MARKS - 4) * devicePixelRatio);
        for (const x of [left, right]) {
            paint.beginPath();
            paint.moveTo(x, -MARKS / 2 * devicePixelRatio);
            paint.lineTo(x, this.rows * this.down);
            paint.stroke();
        }
    }
}
