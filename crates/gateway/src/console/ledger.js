// What a reader of one execution's log owes itself: where it stands, and proof that nothing was lost or doubled.

import { sequenceOf } from "./format.js";

/**
 * @typedef {object} Entry an entry of a log, as the server frames it
 * @property {"token" | "event" | "progress" | "status"} type
 * @property {string} executionId
 * @property {string} [nodeId]
 * @property {number} sequence
 * @property {string} position
 * @property {string} timestamp
 * @property {any} payload
 *
 * @typedef {object} Gap a range of sequences that the server says it cannot deliver
 * @property {number} from inclusive
 * @property {number} to inclusive
 * @property {string} reason
 * @property {string} position where the reader stands after it
 */

/** Checks the sequence of every entry: dense, from 1, each once. */
export class Ledger {
  /** The sequence of the last entry; 0 before the first. */
  last = 0;
  /** The position of the last entry, which a later subscription names to go on. @type {string | null} */
  position = null;
  /** How many entries were taken. */
  received = 0;
  /** How many sequences were skipped and no gap told of it. */
  lost = 0;
  /** How many entries came again. */
  doubled = 0;
  /** How many sequences the server told to be gone. */
  told = 0;

  /**
   * Books an entry.
   *
   * @param {Entry} entry
   * @returns {boolean} whether it is new; one that came again must not be shown again
   */
  take(entry) {
    if (entry.sequence <= this.last) {
      this.doubled += 1;
      return false;
    }
    this.lost += entry.sequence - this.last - 1;
    this.last = entry.sequence;
    this.position = entry.position;
    this.received += 1;
    return true;
  }

  /**
   * Books a gap that the server told of.
   *
   * @param {Gap} gap
   */
  skip(gap) {
    this.told += Math.max(0, gap.to - gap.from + 1);
    // Another incarnation of the log counts from its own beginning.
    this.last = gap.reason === "epoch" ? gap.to : Math.max(this.last, gap.to);
    this.position = gap.position;
  }

  /** The books as they are now, to compare with later. */
  mark() {
    const { last, received, lost, doubled, told } = this;
    return { last, received, lost, doubled, told };
  }
}

/** One time that a connection came back. */
export class Resume {
  /**
   * @param {Ledger} ledger
   * @param {number} away milliseconds without a connection
   */
  constructor(ledger, away) {
    this.ledger = ledger;
    this.before = ledger.mark();
    this.position = ledger.position;
    this.away = away;
    /** The last sequence that was written while away, once it is known. @type {number | null} */
    this.head = null;
    /** What it came to when the connection was lost again. @type {ReturnType<Ledger["mark"]> | null} */
    this.after = null;
  }

  /** @param {string} position the log's last position at the time of the resume */
  knowHead(position) {
    this.head = Math.max(this.before.last, sequenceOf(position));
  }

  /** Nothing counts any more: the connection is gone again. */
  end() {
    this.after ??= this.ledger.mark();
  }

  /** What happened since the connection came back. */
  get tally() {
    const now = this.after ?? this.ledger.mark();
    const missed = this.head === null ? null : this.head - this.before.last;
    return {
      from: this.before.last,
      received: now.received - this.before.received,
      lost: now.lost - this.before.lost,
      doubled: now.doubled - this.before.doubled,
      told: now.told - this.before.told,
      /** Entries that were written while away. */
      missed,
      caughtUp: this.head !== null && now.last >= this.head,
    };
  }
}
