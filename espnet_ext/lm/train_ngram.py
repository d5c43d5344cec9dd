"""Estimate an n-gram model of a text's tokens and its perplexity on another text.

    python -m espnet_ext.lm.train_ngram --order 4 ... --output 4gram.arpa

Tokens are cut as ESPnet's language models see them, by the same options.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence

from espnet_ext.errors import MissingInputError, run_main
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.lm.arpa import write_arpa
from espnet_ext.lm.kneser_ney import estimate, vocabulary
from espnet_ext.lm.ngram import UNK
from espnet_ext.progress import report

REPORT_EVERY = 20000  # sentences


def get_parser() -> argparse.ArgumentParser:
    """Options of the command; those about tokens are ESPnet's."""
    parser = argparse.ArgumentParser(description="Estimate an n-gram model")
    parser.add_argument("--train_text", required=True, help="utterance id first")
    parser.add_argument("--dev_text", required=True, help="for the perplexity")
    parser.add_argument("--order", type=int, required=True, help="longest n-gram")
    parser.add_argument("--output", required=True, help="ARPA file; facts: .json")
    parser.add_argument("--token_list", required=True)
    parser.add_argument("--token_type", required=True)
    parser.add_argument("--bpemodel", default="none")
    parser.add_argument("--non_linguistic_symbols", default="none")
    parser.add_argument("--cleaner", default="none")
    parser.add_argument("--g2p", default="none")
    parser.add_argument("--use_preprocessor", choices=["true"], default="true")
    return parser


def tokenizer(args: argparse.Namespace) -> Callable[[str], List[str]]:
    """A function that cleans and cuts a sentence as ESPnet's preprocessor does."""
    from espnet2.text.build_tokenizer import build_tokenizer
    from espnet2.text.cleaner import TextCleaner

    def given(value: str) -> Optional[str]:
        return None if value in ("none", "") else value

    cut = build_tokenizer(
        token_type=args.token_type,
        bpemodel=given(args.bpemodel),
        non_linguistic_symbols=given(args.non_linguistic_symbols),
        g2p_type=given(args.g2p),
    )
    clean = TextCleaner(given(args.cleaner))
    return lambda text: cut.text2tokens(clean(text))


def texts_of(path: Path, total: int = 0) -> Iterator[str]:
    """Each line that has words, without its id.

    Raises:
        MissingInputError: No line has words.
    """
    found = False
    for number, line in enumerate(read_lines(path)):
        if total and number % REPORT_EVERY == 0:
            report(number, total)
        text = line.partition(" ")[2].strip()
        if text:
            found = True
            yield text
    if not found:
        raise MissingInputError("the text has no words", where=path)


def words_in(texts: Sequence[str]) -> int:
    """Number of words of some texts."""
    return sum(len(text.split()) for text in texts)


def train(cmd: Optional[Sequence[str]] = None) -> int:
    """Estimate, write the ARPA file, and write what is to be known of it."""
    args = get_parser().parse_args(cmd)
    cut = tokenizer(args)
    # blank is first and the sentence end last, as in every token list of ESPnet
    words = vocabulary(read_lines(args.token_list)[1:-1])
    index: Dict[str, int] = {word: number for number, word in enumerate(words)}
    unknown = index[UNK]
    train_text, output = Path(args.train_text), Path(args.output)
    total = 2 * len(read_lines(train_text))  # estimation takes about as long again
    ids = [
        [index.get(token, unknown) for token in cut(text)]
        for text in texts_of(train_text, total)
    ]
    model, discounts = estimate(ids, words, args.order)
    write_arpa(model, output)
    dev = list(texts_of(Path(args.dev_text)))
    result = model.perplexity(map(cut, dev))
    facts = {
        "sentences": len(ids),
        "tokens": sum(map(len, ids)),
        "unknown_tokens": sum(sentence.count(unknown) for sentence in ids),
        "ngrams": model.counts(),
        "discounts": [list(d.values) for d in discounts],
        "fallback_orders": [n for n, d in enumerate(discounts, 1) if d.fallback],
        "dev_sentences": result.sentences,
        "dev_tokens": result.tokens,
        "dev_unknown": result.unknown,
        "dev_perplexity": result.value,
        "dev_perplexity_known": result.value_known,
        "dev_perplexity_word": math.exp(-result.log_prob / (words_in(dev) + len(dev))),
    }
    with atomic_write(output.with_suffix(".json")) as file:
        json.dump(facts, file, indent=1)
        file.write("\n")
    report(total, total)
    for name, value in facts.items():
        print(f"{name}: {value}")
    return 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: train(cmd))


if __name__ == "__main__":
    sys.exit(main())
