"""Writes ``epoch.007.*`` with TensorFlow 2.21: how the files beside this were made.

    python make_checkpoint.py    (in an environment with tensorflow-cpu 2.21.0)

Value i of tensor number n is n + i / 8, so that a reader can be checked without it.
"""

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
tf1.disable_eager_execution()
SHAPES = [(), (3,), (2, 3), (1, 2, 2), (0,), (5, 1)]
DTYPES = [np.float32, np.float64, np.int32, np.int64]


def main() -> None:
    with tf1.Graph().as_default(), tf1.Session() as session:
        for number in range(120):
            shape = SHAPES[number % len(SHAPES)]
            values = number + np.arange(np.prod(shape)).reshape(shape) / 8
            dtype = DTYPES[number % len(DTYPES)]
            name = f"encoder/layers/{number // 10}/part_{number}/weight/param"
            tf1.get_variable(name, initializer=values.astype(dtype))
        tf1.get_variable("names", initializer=np.array([b"text", b"more"]))
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver()
        saver.save(session, "epoch.007", write_meta_graph=False, write_state=False)


if __name__ == "__main__":
    main()
