#!/bin/sh
# Filter the sample sound, tables and pictures into the folder given as the argument; show every command.
set -eu
cd "$(dirname "$0")/.."
out=${1:-demo_output}
rm -rf -- "$out"
mkdir -p -- "$out"

run() {
    printf '\n$ convcli'
    for word in "$@"; do
        case $word in
            *[!A-Za-z0-9_./:=,-]*) printf " '%s'" "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    convcli "$@"
}

echo "== sound =="
run audio 'lowpass:3.4k | downsample:2' sample_data/talk.wav -o "$out/talk_telephone.wav" --report "$out/talk_telephone.html"
run audio ir:sample_data/room.wav,wet=0.3 sample_data/hello.wav --tail -o "$out/hello_in_a_room.wav"

echo
echo "== tables =="
run csv sma:3 sample_data/stocks.csv --by symbol -c price --append --decimals 2 -o "$out/stocks_sma3.csv"
run csv avg_pool:7d sample_data/weather.csv --time date -c temp_max,temp_min,wind --decimals 1 -o "$out/weather_weekly.csv"

echo
echo "== pictures =="
run image gaussian:3 sample_data/cat.png -o "$out/cat_soft.png"
run image 'gaussian:1 | sobel' sample_data/cat.png -o "$out/cat_edges.png"
run image 'box:9 | downsample:2' sample_data/hole.png -o "$out/hole_small.png"

printf '\nThe results are in %s/:\n' "$out"
ls -l -- "$out" | awk 'NR > 1 { printf "%9d  %s\n", $5, $9 }'
printf 'Listen to talk_telephone.wav, open cat_edges.png, and see talk_telephone.html for the facts of the first run.\n'
