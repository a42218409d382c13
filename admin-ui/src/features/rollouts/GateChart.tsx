/** One gate over time: its evidence against the two thresholds, and what it was measured on. A chunk of its own, for uPlot. */

import "uplot/dist/uPlot.min.css";

import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import uPlot from "uplot";

import type { RolloutGate } from "../../api/types";
import { clockTime } from "../../lib/time";
import { percent } from "../../lib/words";
import { pointsWords, rowsOf, type Measure } from "./chartData";
import styles from "./GateChart.module.css";
import { stepMarks, type GatePoint } from "./history";
import { ACTS, HOLDS, isQuery, marginOf } from "./rolloutWords";

interface ChartProps {
  gate: RolloutGate;
  points: GatePoint[];
  measure: Measure;
  variant: string;
  baseline: string;
}

/** Less evidence than this is as good as none. */
const FLOOR = 0.01;
const EVIDENCE_HEIGHT = 190;
const MEASURE_HEIGHT = 130;
const AXIS_WIDTH = 54;

interface Ink {
  text: string;
  grid: string;
  treatment: string;
  control: string;
  holds: string;
  acts: string;
}

function inkOf(element: Element): Ink {
  const style = getComputedStyle(element);
  const of = (name: string) => style.getPropertyValue(name).trim();
  return {
    text: of("--mantine-color-dimmed"),
    grid: of("--tg-line"),
    treatment: of("--chart-treatment"),
    control: of("--chart-control"),
    holds: of("--chart-holds"),
    acts: of("--chart-acts"),
  };
}

const FONT = '11px system-ui, "Noto Sans", sans-serif';

/** Draws a level with its word, at the right end, over what is plotted. */
function level(chart: uPlot, value: number, word: string, color: string, dash: number[]): void {
  const { ctx, bbox } = chart;
  const { min, max } = chart.scales["y"] ?? {};
  if (min === undefined || max === undefined || value < min || value > max) return;
  const y = chart.valToPos(value, "y", true);
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = color;
  ctx.fillStyle = color;
  ctx.lineWidth = 1.5 * ratio;
  ctx.setLineDash(dash.map((part) => part * ratio));
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.font = FONT.replace("11px", `${11 * ratio}px`);
  ctx.textAlign = "left";
  ctx.textBaseline = "bottom";
  ctx.fillText(word, bbox.left + 6 * ratio, y - 2 * ratio);
  ctx.restore();
}

/** Draws where steps began. */
function marks(chart: uPlot, at: { at: number; share: number }[], ink: Ink, labelled: boolean): void {
  const { ctx, bbox } = chart;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ink.text;
  ctx.fillStyle = ink.text;
  ctx.globalAlpha = 0.75;
  ctx.lineWidth = ratio;
  ctx.setLineDash([2 * ratio, 3 * ratio]);
  ctx.font = FONT.replace("11px", `${11 * ratio}px`);
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  let free = -Infinity;
  for (const mark of at) {
    const x = chart.valToPos(mark.at / 1000, "x", true);
    if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const word = mark.share === 0 ? "0" : percent(mark.share);
    const width = ctx.measureText(word).width + 8 * ratio;
    const left = x + width > bbox.left + bbox.width ? x - width : x;
    if (labelled && left >= free) {
      ctx.fillText(word, left + 4 * ratio, bbox.top + 2 * ratio);
      free = left + width;
    }
  }
  ctx.restore();
}

export function GateChart({ gate, points, measure, variant, baseline }: ChartProps) {
  const holder = useRef<HTMLDivElement>(null);
  const charts = useRef<uPlot[]>([]);
  const newest = useRef(points);
  const scheme = useComputedColorScheme();
  const [cursor, setCursor] = useState<number | null>(null);
  const last = points.length - 1;
  const shown = Math.min(cursor ?? last, last);
  const query = isQuery(gate);

  // Made anew for another look of the page; fed below with what is new.
  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const ink = inkOf(element);
    const key = `gate-${gate.key}`;
    const width = Math.max(240, element.clientWidth);
    const common = (height: number): Pick<uPlot.Options, "width" | "height" | "legend" | "cursor" | "padding"> => ({
      width,
      height,
      padding: [10, 8, 0, 0],
      legend: { show: false },
      cursor: { sync: { key }, y: false, drag: { x: false, y: false }, points: { size: 7 } },
    });
    const time: uPlot.Axis = {
      stroke: ink.text,
      grid: { stroke: ink.grid, width: 1 },
      ticks: { show: false },
      font: FONT,
      size: 26,
      space: 70,
      values: (_, splits) => splits.map((at) => clockTime(at * 1000)),
    };
    const side = (values: uPlot.Axis["values"], splits?: uPlot.Axis["splits"]): uPlot.Axis => ({
      stroke: ink.text,
      grid: { stroke: ink.grid, width: 1 },
      ticks: { show: false },
      font: FONT,
      size: AXIS_WIDTH,
      space: 26,
      ...(values ? { values } : {}),
      ...(splits ? { splits } : {}),
    });
    const follow: uPlot.Hooks.Defs["setCursor"] = (chart) => {
      // Not where data or sizes change under a cursor that stays.
      if (!chart.cursor.event) return;
      const index = chart.cursor.idx;
      // Off the chart, the newest is told.
      setCursor(typeof index === "number" && (chart.cursor.left ?? -1) >= 0 ? index : null);
    };
    const evidence: uPlot.Options = {
      ...common(EVIDENCE_HEIGHT),
      scales: {
        x: { time: true },
        y: {
          distr: 3,
          log: 10,
          range: (_, min, max) => [Math.min(0.1, 10 ** Math.floor(Math.log10(Math.max(FLOOR, min ?? FLOOR)))), Math.max(1_000, 10 ** Math.ceil(Math.log10(Math.max(1, max ?? 1))))],
        },
      },
      axes: [
        { ...time, values: () => [], size: 4 },
        side(
          (_, splits) => splits.map((value) => (value === null ? "" : value >= 10_000 ? `10^${Math.round(Math.log10(value))}` : String(value))),
          (_, __, min, max) => powers(min, max),
        ),
      ],
      series: [{}, { stroke: ink.treatment, width: 2, fill: `${ink.treatment}22`, fillTo: (chart, _, min) => chart.scales["y"]?.min ?? min, points: { show: false } }],
      hooks: {
        draw: [
          (chart) => {
            marks(chart, stepMarks(newest.current), ink, true);
            level(chart, HOLDS, "20 to 1: holds", ink.holds, [6, 4]);
            level(chart, ACTS, "100 to 1: acts", ink.acts, []);
          },
        ],
        setCursor: [follow],
      },
    };
    const margin = marginOf(gate);
    const below: uPlot.Options = {
      ...common(MEASURE_HEIGHT),
      scales: { x: { time: true }, y: { range: (_, min, max) => rangeOf(measure, gate, min, max) } },
      axes: [
        time,
        side((_, splits) => splits.map((value) => (measure === "change" ? `${Math.round(value * 100)} %` : measure === "answer" ? String(Number(value.toPrecision(3))) : Math.abs(value) >= 10_000 ? `${Math.round(value / 1000)}k` : String(value)))),
      ],
      series: [
        {},
        { stroke: ink.treatment, width: 2, points: { show: false } },
        ...(measure === "counts" ? [{ stroke: ink.control, width: 2, dash: [6, 3], points: { show: false } }] : []),
      ],
      hooks: {
        draw: [
          (chart) => {
            marks(chart, stepMarks(newest.current), ink, query);
            if (measure === "change") {
              level(chart, 0, "", ink.grid, []);
              level(chart, gate.worse === "down" ? -margin : margin, "margin", ink.holds, [6, 4]);
            }
            if (measure === "answer" && typeof gate.max === "number") level(chart, gate.max, "harm above", ink.acts, []);
            if (measure === "answer" && typeof gate.min === "number") level(chart, gate.min, "harm below", ink.acts, []);
          },
        ],
        setCursor: [follow],
      },
    };
    charts.current = [...(query ? [] : [new uPlot(evidence, columns(newest.current, "evidence"), element)]), new uPlot(below, columns(newest.current, measure), element)];
    const resized = new ResizeObserver(() => {
      for (const chart of charts.current) chart.setSize({ width: Math.max(240, element.clientWidth), height: chart.height });
    });
    resized.observe(element);
    return () => {
      resized.disconnect();
      for (const chart of charts.current) chart.destroy();
      charts.current = [];
    };
  }, [gate, measure, query, scheme]);

  useEffect(() => {
    newest.current = points;
    const [first, second] = query ? [undefined, charts.current[0]] : charts.current;
    first?.setData(columns(points, "evidence"));
    second?.setData(columns(points, measure));
  }, [measure, points, query]);

  const move = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.round(points.length / 10));
    const to = { ArrowLeft: shown - 1, ArrowRight: shown + 1, ArrowDown: shown - 1, ArrowUp: shown + 1, PageDown: shown - page, PageUp: shown + page, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(last, to));
    setCursor(index);
    for (const chart of charts.current) {
      const at = points[index]?.at;
      if (at !== undefined) chart.setCursor({ left: chart.valToPos(at / 1000, "x"), top: 10 }, false);
    }
  };
  const point = points[shown];
  const words = point ? pointsWords(point, measure, variant, baseline) : "";
  return (
    <div className={styles.chart}>
      <div
        ref={holder}
        className={styles.holder}
        role="slider"
        tabIndex={0}
        aria-label={`${gate.key} over time`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, last)}
        aria-valuenow={Math.max(0, shown)}
        aria-valuetext={words}
        onKeyDown={move}
      />
      <p className={styles.readout}>{words}</p>
      <p className={styles.legend}>
        {query ? null : <span>Above: evidence, in powers of ten.</span>}
        {measure === "counts" ? (
          <>
            <span>
              <i data-arm="treatment" /> units with {variant}
            </span>
            <span>
              <i data-arm="control" /> compared units with {baseline}
            </span>
          </>
        ) : (
          <span>
            <i data-arm="treatment" /> {measure === "change" ? `how much more ${variant} has` : "what the source answered"}
          </span>
        )}
        <span>Dotted: a step begins.</span>
      </p>
    </div>
  );
}

function powers(min: number, max: number): number[] {
  const from = Math.round(Math.log10(min));
  const to = Math.round(Math.log10(max));
  const every = Math.max(1, Math.ceil((to - from) / 6));
  return Array.from({ length: Math.floor((to - from) / every) + 1 }, (_, index) => 10 ** (from + index * every));
}

function rangeOf(measure: Measure, gate: RolloutGate, min: number | null, max: number | null): [number, number] {
  if (measure === "counts") return [0, Math.max(4, (max ?? 1) * 1.1)];
  const bounds = measure === "change" ? [-1.4 * marginOf(gate), 1.4 * marginOf(gate)] : [gate.max, gate.min, 0].filter((bound) => typeof bound === "number");
  const low = Math.min(min ?? 0, ...bounds);
  const high = Math.max(max ?? 0, ...bounds);
  const room = (high - low || 1) * (measure === "answer" ? 0.35 : 0.15);
  return [low < 0 || measure === "change" ? low - room : low, high + room];
}

function columns(points: GatePoint[], of: Measure | "evidence"): uPlot.AlignedData {
  const rows = rowsOf(points, of === "evidence" ? "counts" : of);
  const times = rows.map(({ at }) => at / 1000);
  if (of === "evidence") return [times, rows.map(({ evidence }) => Math.max(FLOOR, evidence))];
  return of === "counts" ? [times, rows.map(({ treatment }) => treatment), rows.map(({ control }) => control)] : [times, rows.map(({ value }) => value)];
}
