# shellcheck shell=bash
# The board's model, as the device tree has it.

guest_board() { guest 'tr -d "\000" </proc/device-tree/model'; }

check_board() {
    local model
    model=$(guest_board)
    if [ -n "$model" ] && grep '^pi_board_info{' "$METRICS" | grep -qF "model=\"$model\""; then
        pass "board" "$model"
    else
        fail "board" "no pi_board_info with model=\"$model\""
    fi
}
