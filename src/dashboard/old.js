// Runs after the page's own script, in the oldest words that browsers know. If that script did not come to its end, the
// browser does not understand it, and the page would say "Loading" for ever.
if (!window.piMonitor) {
  document.getElementById('status').firstChild.data = '■ Browser too old';
  document.documentElement.setAttribute('data-state', 'down');
  var sentence = document.createElement('p');
  sentence.className = 'absent';
  sentence.appendChild(document.createTextNode('This browser is too old for the dashboard. It needs Chrome or Edge 87, Firefox 98, Safari 15.4, or newer. The numbers themselves are at /metrics and /json.'));
  document.getElementById('cards').appendChild(sentence);
}
