"""The fence between two lives of Redis: how long what was taken is known to be taken (design choice).

What was taken in a life that has ended counts only if whoever rebuilds finds it in the evidence. So what is recorded
was taken, or was found still taken, at most SURE_SECONDS before its evidence is sent; the reply leaves when that
evidence is durable at most STILL_SURE_SECONDS after it, else only when it was found taken once more; and who rebuilds
reads where the evidence ends WAIT_SECONDS after it noticed the new life. A grant of an old life is thus in the evidence
before that end, or is taken in the new life before its reply leaves.

What nobody can bring back: what was taken and neither recorded nor taken again; of that nobody learned anything, so it
counts no longer. And a reply that is refused when it is made sure of leaves an evidence record that was not delivered.
"""

SURE_SECONDS, STILL_SURE_SECONDS, WAIT_SECONDS = 3.0, 3.5, 4.0
