"""Examples of each command, which `--help` shows; a test checks their options."""

EXAMPLES: dict[str, list[str]] = {
    "init": ["ardm init mine --data ~/pictures", "ardm init digits"],
    "validate": ["ardm validate jobs/binmnist.yaml", "ardm validate mine.yaml --json"],
    "submit": [
        "ardm submit jobs/binmnist.yaml --follow",
        "ardm submit mine.yaml --store gs://bucket/runs --run mine --set training.steps=5000",
    ],
    "train": ["ardm train jobs/smoke.yaml", "ardm train mine.yaml --run mine"],
    "stop": ["ardm stop mine"],
    "down": ["ardm down"],
    "runs": ["ardm runs", "ardm runs --store gs://bucket/runs --job binmnist"],
    "status": ["ardm status mine", "ardm status mine --json"],
    "watch": ["ardm watch mine", "ardm watch --job binmnist >> watch.log"],
    "logs": ["ardm logs mine --attempt 3"],
    "pull": ["ardm pull mine --to pulled/mine"],
    "sample": [
        "ardm sample mine --num 64 --budget 50",
        'ardm sample novel --prompt "It is a truth" --num 4',
    ],
    "inpaint": [
        "ardm inpaint mine --keep top-half",
        "ardm inpaint mine --image x.png --mask m.png --completions 8",
    ],
    "compress": ["ardm compress mine a.png b.png --out digits.ardm --budget 50"],
    "decompress": ["ardm decompress mine digits.ardm --to restored"],
    "export": ["ardm export mine --to exported --budget 50 --license cc-by-4.0"],
    "evaluate": [
        "ardm evaluate mine --split test",
        "ardm evaluate mine --exact --orders 4 --images 64",
    ],
    "compare": ["ardm compare mine other third --images 10000"],
    "policy": ["ardm policy mine --budgets 10,20,50"],
    "report": [
        "ardm report mine --html mine.html",
        "ardm report a b c --html all.html",
        "ardm report mine --on-demand-price 0.7",
    ],
    "serve": ["ardm serve --store gs://bucket/runs --port 8050"],
    "plan": ["ardm plan --run mine"],
    "doctor": ["ardm doctor", "ardm doctor --store gs://bucket/runs --json"],
    "chaos": ["ardm chaos jobs/smoke.yaml --minutes 5 --seed 7"],
    "soak": ["ardm soak --faults 100"],
    "node-agent": ["ardm node-agent --address 127.0.0.1:6379"],
    "idle-stop": ["ardm idle-stop --after 60"],
}
