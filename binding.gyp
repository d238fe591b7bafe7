{
  # Hands a plain `npm install` in a clone over to the same CMake build as `npm run setup`.
  "targets": [
    {
      "target_name": "spikenode",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": [],
          "outputs": ["build/.always"],
          "action": ["node", "scripts/setup.mjs", "--native"]
        }
      ]
    }
  ]
}
